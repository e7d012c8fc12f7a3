/** What the page is given to show. */
import type { DataTransformerConfig, FieldConfigSource, Labels } from '@grafana/data';

export interface Picture {
  title: string;
  /** The only one that was chosen, if it was one. */
  instance?: string;
  /** Seconds since 1970. */
  from: number;
  to: number;
  panels: Array<{ panel: Panel; answers: Answer[] }>;
  /** When a stop began, in milliseconds since 1970. */
  marks: number[];
}

/** A panel as the dashboard's file has it. */
export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  fieldConfig: FieldConfigSource;
  // Each kind of panel has its own.
  options: any;
  transformations?: DataTransformerConfig[];
}

export interface Answer {
  target: { refId: string; expr: string; format?: string; legendFormat?: string };
  result: Series[];
}

/** Each value with its moment, in seconds since 1970. */
export interface Series {
  metric: Labels;
  values: Array<[number, string]>;
}
