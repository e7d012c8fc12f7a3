/** How often the recording was scraped, in seconds: what Grafana calls the scrape interval of a data source. */
const SCRAPE_INTERVAL = 1;

/** A query with Grafana's variables filled in as Grafana does: a rate needs four scrapes to look back at. */
export function fill(expression, { from, to, step, instance }) {
  const values = {
    __rate_interval: `${Math.max(step + SCRAPE_INTERVAL, 4 * SCRAPE_INTERVAL)}s`,
    __range: `${to - from}s`,
    job: '.+',
    instance: instance ?? '.+',
  };
  return expression.replace(/\$(\w+)/g, (text, name) => {
    if (values[name] === undefined) {
      throw new Error(`${text} is a variable that nobody fills in: ${expression}`);
    }
    return values[name];
  });
}

/** What a panel as wide as `width` pixels asks for: whole seconds, since that is when there are samples. */
export function range([from, to], width) {
  const whole = { from: Math.floor(from), to: Math.floor(to) };
  return { ...whole, step: Math.max(SCRAPE_INTERVAL, Math.ceil((whole.to - whole.from) / width)) };
}

/** The answer to each query of a panel. */
export function answers(prometheus, panel, asked) {
  return Promise.all((panel.targets ?? []).map(async (target) => ({ target, result: await answer(prometheus, target, asked) })));
}

/** Moments at which a stop began, in milliseconds, each once. */
export async function marks(prometheus, dashboard, asked) {
  const found = await Promise.all(dashboard.annotations.list.map((mark) => answer(prometheus, mark.target, asked)));
  const moments = found.flat().flatMap((series) => series.values.map(([, value]) => Number(value)));
  return [...new Set(moments)].filter((moment) => moment >= asked.from * 1000 && moment <= asked.to * 1000);
}

async function answer(prometheus, target, asked) {
  const query = fill(target.expr, asked);
  const { result } = target.instant
    ? await prometheus.ask('query', { query, time: asked.to })
    : await prometheus.ask('query_range', { query, start: asked.from, end: asked.to, step: asked.step });
  return result.map(({ metric, value, values }) => ({ metric, values: values ?? [value] }));
}
