// Problems with a drawing. The page collects them; draw.mjs reads them and fails.

export interface Problem {
  /** The panel's title, or the dashboard's. */
  where: string;
  what: string;
  /** The id of a panel without data: some panels have none in the generated history. */
  empty?: number;
}

const problems: Problem[] = [];

export function report(where: string, what: string, empty?: number) {
  problems.push(empty === undefined ? { where, what } : { where, what, empty });
}

/** The message of an error. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function reported(): readonly Problem[] {
  return problems;
}
