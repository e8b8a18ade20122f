// A dashboard's variables: their values, and interpolation as in Grafana's Prometheus data source.
import type { TimeRange } from '@grafana/data';
import { VariableHide, VariableSort, type VariableModel } from '@grafana/schema';

import { labelValues, queryInstant, type Labels, type Window } from './prometheus';

interface Option {
  text: string;
  value: string;
}

interface Variable {
  model: VariableModel;
  /** The selected options; for "All", every option. */
  chosen: Option[];
  all: boolean;
}

export const ALL = '$__all';

// $name, ${name}, ${name:format}, [[name]], and not the $1 of label_replace.
const REFERENCE = /\$([A-Za-z_]\w*)|\$\{(\w+)(?::(\w+))?\}|\[\[(\w+)(?::(\w+))?\]\]/g;

/** A reference to a variable that the dashboard does not have. */
export class UnknownVariable extends Error {}

export class Variables {
  private readonly variables = new Map<string, Variable>();

  /** Variables can refer to variables before them, so they are resolved in order. */
  static async resolve(models: VariableModel[], range: TimeRange, wanted: URLSearchParams): Promise<Variables> {
    const variables = new Variables(range);
    for (const model of models)
      variables.variables.set(model.name, await variables.choose(model, wanted.getAll(`var-${model.name}`)));
    return variables;
  }

  private constructor(private readonly range: TimeRange) {}

  /** The visible variables with their selected values, for the head of the dashboard. */
  shown(): Array<{ label: string; value: string }> {
    const visible = [...this.variables.values()].filter(({ model }) => model.hide !== VariableHide.hideVariable);
    return visible.map(({ model, chosen, all }) => ({
      label: model.label ?? model.name,
      value: all ? 'All' : chosen.map(({ text }) => text).join(' + '),
    }));
  }

  /** The selected options, for a panel that is repeated for each. */
  chosen(name: string): Option[] {
    return this.find(name).chosen;
  }

  /** Interpolates the texts of selected options, for titles. */
  inText(text: string, own: Labels = {}): string {
    return this.replace(text, (name) => {
      if (name in own) return own[name];
      const { all, chosen } = this.find(name);
      return all ? 'All' : chosen.map((option) => option.text).join(' + ');
    });
  }

  /** Interpolates values, for PromQL; `own` are values of one query, such as its interval. */
  inQuery(text: string, own: Labels = {}): string {
    return this.replace(text, (name, format) => {
      if (name in own) return own[name];
      const { model, all, chosen } = this.find(name);
      if (all && model.allValue) return model.allValue;
      const values = chosen.map(({ value }) => value);
      if (format === 'text') return chosen.map((option) => option.text).join(' + ');
      if (format === 'raw') return values.join(',');
      if (format === 'pipe') return values.join('|');
      if (format !== undefined && format !== 'regex') throw new Error(`variable format ${format} is not supported`);
      if (!model.multi && !model.includeAll) return escape(values[0] ?? '');
      const alternatives = values.map(escapeRegex);
      return alternatives.length === 1 ? alternatives[0] : `(${alternatives.join('|')})`;
    });
  }

  private replace(text: string, value: (name: string, format?: string) => string | undefined): string {
    return text.replace(REFERENCE, (_, ...groups: Array<string | undefined>) => {
      const [plain, braced, bracedFormat, bracketed, bracketedFormat] = groups;
      return value(plain ?? braced ?? bracketed ?? '', bracedFormat ?? bracketedFormat) ?? '';
    });
  }

  private find(name: string): Variable {
    const found = this.variables.get(name);
    if (!found) throw new UnknownVariable(`there is no variable $${name}`);
    return found;
  }

  private async choose(model: VariableModel, wanted: string[]): Promise<Variable> {
    const options = await this.options(model);
    const saved = [model.current?.value ?? []].flat();
    const asked = wanted.length > 0 ? wanted : saved.length > 0 ? saved : model.includeAll ? [ALL] : [];
    if (asked.includes(ALL) || asked.includes('All')) return { model, chosen: options, all: true };
    const chosen = asked.map((value) => options.find((option) => option.value === value) ?? { text: value, value });
    return { model, chosen: chosen.length > 0 ? chosen : options.slice(0, 1), all: false };
  }

  private async options(model: VariableModel): Promise<Option[]> {
    const query = typeof model.query === 'string' ? model.query : String(model.query?.['query'] ?? '');
    switch (model.type) {
      case 'datasource':
        return [{ text: query === 'prometheus' ? 'Prometheus' : 'Alertmanager', value: query }];
      case 'query':
        return sorted(
          filtered(await this.ask(this.inQuery(query, rangeVariables(this.range))), model.regex),
          model.sort,
        );
      case 'custom':
      case 'interval':
        return query.split(',').map((each) => {
          const [text = '', value = text] = each.split(' : ').map((part) => part.trim());
          return { text, value };
        });
      case 'constant':
      case 'textbox':
        return [{ text: query, value: query }];
      default:
        throw new Error(`variables of type ${model.type} are not supported`);
    }
  }

  private async ask(query: string): Promise<string[]> {
    const window: Window = { start: this.range.from.unix(), end: this.range.to.unix() };
    const labels = /^label_values\((?:(.+),)?\s*([\w:]+)\s*\)$/s.exec(query);
    if (labels) return labelValues(labels[2] ?? '', labels[1], window);
    const result = /^query_result\((.+)\)$/s.exec(query);
    if (!result) throw new Error(`this variable query is not supported: ${query}`);
    const series = await queryInstant(result[1] ?? '', window.end);
    return series.map(({ labels: { __name__: name = '', ...rest }, times, values }) => {
      const pairs = Object.entries(rest).map(([label, value]) => `${label}="${value}"`);
      return `${name}{${pairs.join(',')}} ${values[0]} ${(times[0] ?? 0) * 1000}`;
    });
  }
}

/** The variables for the time range. */
export function rangeVariables(range: TimeRange): Labels {
  const seconds = range.to.diff(range.from, 'seconds');
  return {
    __range: `${seconds}s`,
    __range_s: `${seconds}`,
    __range_ms: `${seconds * 1000}`,
    __from: `${range.from.valueOf()}`,
    __to: `${range.to.valueOf()}`,
  };
}

/** The part of each text that the expression captures, in its groups `text` and `value` or in the first group. */
function filtered(texts: string[], regex = ''): Option[] {
  const unique = (options: Option[]) => [...new Map(options.map((option) => [option.value, option])).values()];
  if (!regex) return unique(texts.map((text) => ({ text, value: text })));
  const [, pattern = regex, flags = ''] = /^\/(.*)\/([a-z]*)$/s.exec(regex) ?? [];
  const expression = new RegExp(pattern, flags.replace('g', ''));
  const options = texts.flatMap((text) => {
    const match = expression.exec(text);
    if (!match) return [];
    const first = match[1] ?? match[0];
    const value = match.groups?.['value'] ?? match.groups?.['text'] ?? first;
    return [{ value, text: match.groups?.['text'] ?? value }];
  });
  return unique(options);
}

function sorted(options: Option[], sort: VariableSort = VariableSort.disabled): Option[] {
  if (sort === VariableSort.disabled) return options;
  const numeric = [
    VariableSort.numericalAsc,
    VariableSort.numericalDesc,
    VariableSort.naturalAsc,
    VariableSort.naturalDesc,
  ];
  const down = [
    VariableSort.alphabeticalDesc,
    VariableSort.numericalDesc,
    VariableSort.naturalDesc,
    VariableSort.alphabeticalCaseInsensitiveDesc,
  ];
  const collator = new Intl.Collator('en', { numeric: numeric.includes(sort), sensitivity: 'base' });
  const up = [...options].sort((a, b) => collator.compare(a.text, b.text));
  return down.includes(sort) ? up.reverse() : up;
}

function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}

function escapeRegex(value: string): string {
  return value.replace(/[\\^$*+?.()|[\]{}]/g, '\\\\$&');
}
