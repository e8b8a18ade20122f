// What is wrong with a drawing. The page collects it; whoever drew the page reads it and fails.

export interface Problem {
  /** The panel's title, or the dashboard's. */
  where: string;
  what: string;
  /** Whether it is that the panel has nothing to show: some panels may be quiet in a good story. */
  empty?: true;
}

const problems: Problem[] = [];

export function report(where: string, what: string, empty?: true) {
  problems.push(empty ? { where, what, empty } : { where, what });
}

/** What an error says, with its cause. */
export function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function reported(): readonly Problem[] {
  return problems;
}
