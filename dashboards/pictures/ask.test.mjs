import assert from 'node:assert/strict';
import test from 'node:test';
import { answers, fill, marks, range } from './ask.mjs';

const asked = { from: 100, to: 160, step: 1 };

test('variables are filled in as Grafana does', () => {
  assert.equal(
    fill('max_over_time(a{job=~"$job", instance=~"$instance"}[$__range])', asked),
    'max_over_time(a{job=~".+", instance=~".+"}[60s])'
  );
  assert.equal(fill('a{instance=~"$instance"}', { ...asked, instance: 'orders-1' }), 'a{instance=~"orders-1"}');
  assert.equal(fill('rate(a[$__rate_interval])', asked), 'rate(a[4s])');
  assert.equal(fill('rate(a[$__rate_interval])', { ...asked, step: 10 }), 'rate(a[11s])');
  assert.throws(() => fill('a{b="$other"}', asked), /\$other/);
});

test('a range has whole seconds, and no more steps than pixels', () => {
  assert.deepEqual(range([100.9, 160.2], 400), { from: 100, to: 160, step: 1 });
  assert.equal(range([0, 1000], 400).step, 3);
});

test('an instant query is about the end of the range', async () => {
  const paths = [];
  const prometheus = {
    async ask(path, parameters) {
      paths.push([path, parameters.time ?? [parameters.start, parameters.end]]);
      return { result: [{ metric: {}, value: [160, '1'], values: undefined }] };
    },
  };
  const targets = [{ expr: 'a', instant: true }, { expr: 'b' }];
  const found = await answers(prometheus, { targets }, asked);
  assert.deepEqual(paths, [
    ['query', 160],
    ['query_range', [100, 160]],
  ]);
  assert.deepEqual(found[0].result, [{ metric: {}, values: [[160, '1']] }]);
});

test('a stop has one mark, and none when it began before the range', async () => {
  const values = [
    [101, '90000'],
    [102, '120000'],
    [103, '120000'],
  ];
  const prometheus = { ask: async () => ({ result: [{ metric: {}, values }] }) };
  const dashboard = { annotations: { list: [{ target: { expr: 'a' } }] } };
  assert.deepEqual(await marks(prometheus, dashboard, asked), [120_000]);
});
