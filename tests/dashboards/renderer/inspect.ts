// Finds problems in the data of panels, in the layout, and in what was drawn.
import { fieldMatchers, FieldType, type DataFrame, type FieldConfigSource } from '@grafana/data';

import type { Panel } from './model';

export interface Inspection {
  /** No field has a value. */
  empty: boolean;
  problems: string[];
}

export function inspect(frames: DataFrame[], { overrides }: FieldConfigSource, { type }: Panel): Inspection {
  const fields = frames.flatMap((frame) => frame.fields.map((field) => ({ field, frame })));
  const values = fields.filter(({ field }) => field.type !== FieldType.time).flatMap(({ field }) => [...field.values]);
  const matches = ({ id, options }: { id: string; options?: unknown }) => {
    const matcher = fieldMatchers.get(id).get(options);
    return fields.some(({ field, frame }) => matcher(field, frame, frames));
  };
  // A graph only has the series of what happened; another test compares the names with the possible ones.
  const unused = type === 'timeseries' ? [] : overrides.filter(({ matcher }) => !matches(matcher));
  return {
    empty: !values.some((value) => value !== null && value !== undefined && !Number.isNaN(value)),
    problems: unused.map(
      ({ matcher }) => `an override matches no field: ${matcher.id} ${JSON.stringify(matcher.options)}`,
    ),
  };
}

/** Problems with the positions and ids of panels. */
export function inspectLayout(panels: Panel[]): Array<[panel: Panel, problem: string]> {
  return panels.flatMap((panel, at) => {
    const { x, y, w, h } = panel.gridPos;
    const problems: Array<[Panel, string]> = [];
    if (x < 0 || w < 1 || h < 1 || x + w > 24) problems.push([panel, 'it is not within the 24 columns']);
    for (const other of panels.slice(0, at)) {
      const { x: ox, y: oy, w: ow, h: oh } = other.gridPos;
      if (x < ox + ow && ox < x + w && y < oy + oh && oy < y + h) problems.push([panel, `it covers "${other.title}"`]);
      if (panel.id === other.id) problems.push([panel, `it has the id of "${other.title}"`]);
    }
    return problems;
  });
}

/** The texts in a panel that are partly hidden. */
export function clippedTexts(panel: Element): string[] {
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  const clipped: string[] = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent?.trim();
    const range = document.createRange();
    range.selectNodeContents(node);
    if (text && node.parentElement && isClipped(range.getBoundingClientRect(), node.parentElement, panel))
      clipped.push(text);
  }
  return clipped;
}

// Pixels for glyphs that extend beyond their line, and for rounding.
const TOLERANCE = 2;

/** Whether an element around the text hides a part of it. Text that can be scrolled into view is not hidden. */
function isClipped(text: DOMRect, parent: Element, panel: Element): boolean {
  let scrolls = false;
  for (let around: Element | null = parent; around && panel.contains(around); around = around.parentElement) {
    const edge = around.getBoundingClientRect();
    const { overflowX, overflowY, display } = getComputedStyle(around);
    if (display === 'inline') continue;
    if (overflowX !== 'visible' && (text.right > edge.right + TOLERANCE || text.left < edge.left - TOLERANCE))
      return true;
    scrolls ||= overflowY === 'auto' || overflowY === 'scroll';
    const hides = overflowY === 'hidden' || overflowY === 'clip';
    if (hides && !scrolls && (text.bottom > edge.bottom + TOLERANCE || text.top < edge.top - TOLERANCE)) return true;
  }
  return false;
}
