/** What Prometheus answers as the data frames that Grafana's data source makes of it. */
import { createDataFrame, FieldType, type DataFrame, type Labels } from '@grafana/data';

import type { Answer, Series } from './picture';

export function frames(answers: Answer[], step: number): DataFrame[] {
  return answers.flatMap(({ target, result }) =>
    target.format === 'table'
      ? [table(target.refId, answers.length, result)]
      : result.map((series) => line(target.refId, target.legendFormat, step, series))
  );
}

function line(refId: string, legend: string | undefined, step: number, { metric, values }: Series): DataFrame {
  const { __name__, ...labels } = metric;
  return createDataFrame({
    refId,
    fields: [
      // A hole that is wider than the interval is drawn as one.
      { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: values.map(moment) },
      {
        name: __name__ ?? 'Value',
        type: FieldType.number,
        labels,
        config: legend ? { displayNameFromDS: filled(legend, metric) } : {},
        values: values.map(number),
      },
    ],
  });
}

/** One row for each series, one column for each label. */
function table(refId: string, queries: number, result: Series[]): DataFrame {
  const names = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  const last = result.map(({ values }) => values[values.length - 1]);
  return createDataFrame({
    refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: last.map(moment) },
      ...names.map((name) => ({ name, type: FieldType.string, values: result.map(({ metric }) => metric[name]) })),
      { name: queries > 1 ? `Value #${refId}` : 'Value', type: FieldType.number, values: last.map(number) },
    ],
  });
}

const filled = (legend: string, labels: Labels) =>
  legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name: string) => labels[name] ?? name);

const moment = ([seconds]: [number, string]) => seconds * 1000;

const number = ([, text]: [number, string]) => Number(text.replace('Inf', 'Infinity'));
