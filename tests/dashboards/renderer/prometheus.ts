// The parts of Prometheus' HTTP API that a dashboard needs.
//
// Times are seconds since the Unix epoch. An error throws Prometheus' message; so does an answer with warnings, because
// a dashboard does not show them.

export type Labels = Record<string, string>;

export interface Series {
  labels: Labels;
  times: number[];
  values: number[];
}

type Sample = [time: number, value: string];

interface Answer<Data> {
  status: 'success' | 'error';
  error?: string;
  warnings?: string[];
  infos?: string[];
  data: Data;
}

export interface Window {
  start: number;
  end: number;
}

export async function queryRange(query: string, { start, end }: Window, step: number): Promise<Series[]> {
  type Matrix = { result: Array<{ metric: Labels; values: Sample[] }> };
  const { result } = await ask<Matrix>('query_range', { query, start, end, step });
  return result.map(({ metric, values }) => series(metric, values));
}

/** The series at one moment, each with one sample. */
export async function queryInstant(query: string, time: number): Promise<Series[]> {
  type Scalar = { resultType: 'scalar'; result: Sample };
  type Vector = { resultType: 'vector'; result: Array<{ metric: Labels; value: Sample }> };
  const answer = await ask<Scalar | Vector>('query', { query, time });
  if (answer.resultType === 'scalar') return [series({}, [answer.result])];
  return answer.result.map(({ metric, value }) => series(metric, [value]));
}

export function labelValues(label: string, selector: string | undefined, window: Window): Promise<string[]> {
  const match: Record<string, string> = selector ? { 'match[]': selector } : {};
  return ask(`label/${encodeURIComponent(label)}/values`, { ...match, ...window });
}

function series(labels: Labels, samples: Sample[]): Series {
  return { labels, times: samples.map(([time]) => time), values: samples.map(([, value]) => parse(value)) };
}

function parse(value: string): number {
  return value === '+Inf' ? Infinity : value === '-Inf' ? -Infinity : Number(value);
}

async function ask<Data>(path: string, parameters: Record<string, string | number>): Promise<Data> {
  const search = new URLSearchParams(Object.entries(parameters).map(([key, value]) => [key, String(value)]));
  const response = await fetch(`/api/v1/${path}?${search}`);
  const answer = (await response.json()) as Answer<Data>;
  const problems = [answer.error, ...(answer.warnings ?? []), ...(answer.infos ?? [])].filter(Boolean);
  if (answer.status !== 'success' || problems.length > 0) throw new Error(problems.join('; '));
  return answer.data;
}
