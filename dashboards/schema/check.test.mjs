// The check is seen to refuse: each broken copy of a right dashboard is found, at the key that is wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings } from './check.mjs';

const right = {
  title: 'a sample',
  schemaVersion: 41,
  annotations: {
    list: [{
      name: 'stops', enable: true, iconColor: 'orange', datasource: { type: 'prometheus', uid: '${source}' },
      target: { refId: 'Anno', expr: 'up' }, useValueForTime: true,
    }],
  },
  templating: { list: [{ name: 'source', type: 'datasource', query: 'prometheus', hide: 0, refresh: 1 }] },
  panels: [
    { type: 'row', id: 1, title: 'Now', collapsed: false, gridPos: { x: 0, y: 0, w: 24, h: 1 }, panels: [] },
    {
      type: 'timeseries', id: 2, title: 'Up', gridPos: { x: 0, y: 1, w: 12, h: 8 },
      targets: [{ refId: 'A', expr: 'up', legendFormat: '{{instance}}', range: true }],
      options: { legend: { displayMode: 'list', placement: 'bottom', showLegend: true }, tooltip: { mode: 'multi', sort: 'desc' } },
      fieldConfig: {
        defaults: {
          unit: 's', thresholds: { mode: 'absolute', steps: [{ color: 'green', value: null }] }, custom: { drawStyle: 'line', lineWidth: 2 },
        },
        overrides: [{ matcher: { id: 'byName', options: 'a' }, properties: [{ id: 'unit', value: 'short' }, { id: 'custom.lineWidth', value: 1 }] }],
      },
    },
    { type: 'stat', id: 3, title: 'Up', options: { colorMode: 'background', reduceOptions: { calcs: ['lastNotNull'] } } },
  ],
};

const [, lines, stat] = right.panels.keys();
const override = (dashboard) => dashboard.panels[lines].fieldConfig.overrides[0];

/** What is done to the copy, and what the finding has to name. */
const broken = {
  'a misspelt key of the dashboard': [(it) => { it.titel = it.title; }, 'titel'],
  'another schema': [(it) => { it.schemaVersion = 40; }, '40'],
  'a kind of panel that there is not': [(it) => { it.panels[stat].type = 'stats'; }, 'stats'],
  'a misspelt key of a panel': [(it) => { it.panels[stat].descripton = 'x'; }, 'descripton'],
  'a misspelt option': [(it) => { it.panels[stat].options.colourMode = 'value'; }, 'colourMode'],
  'an option of another panel': [(it) => { it.panels[lines].options.colorMode = 'value'; }, 'colorMode'],
  'a misspelt option further in': [(it) => { it.panels[lines].options.legend.showLegends = true; }, 'showLegends'],
  'an option that is none of its choices': [(it) => { it.panels[lines].options.legend.placement = 'left'; }, 'left'],
  'a misspelt key of a query': [(it) => { it.panels[lines].targets[0].legend = 'x'; }, 'legend'],
  'a query without an expression': [(it) => { delete it.panels[lines].targets[0].expr; }, 'expr'],
  'a number as text': [(it) => { it.panels[lines].gridPos.w = '12'; }, 'string'],
  'a misspelt standard field': [(it) => { it.panels[lines].fieldConfig.defaults.units = 's'; }, 'units'],
  'a misspelt field of the panel': [(it) => { it.panels[lines].fieldConfig.defaults.custom.lineWeight = 2; }, 'lineWeight'],
  'a step without a colour': [(it) => { delete it.panels[lines].fieldConfig.defaults.thresholds.steps[0].color; }, 'color'],
  'an override of nothing': [(it) => { override(it).properties[0].id = 'units'; }, 'units'],
  'an override of nothing in the panel': [(it) => { override(it).properties[1].id = 'custom.lineWeight'; }, 'lineWeight'],
  'an override with a wrong value': [(it) => { override(it).properties[1].value = 'thick'; }, 'string'],
  'a matcher that there is not': [(it) => { override(it).matcher.id = 'byLabel'; }, 'byLabel'],
  'a misspelt key of an annotation': [(it) => { it.annotations.list[0].expression = 'up'; }, 'expression'],
  'a variable of no kind': [(it) => { it.templating.list[0].type = 'prometheus'; }, 'prometheus'],
};

const copies = Object.entries(broken).map(([name, [change]]) => {
  const copy = structuredClone(right);
  change(copy);
  return [name, copy];
});
const texts = [['right', right], ...copies].map(([name, dashboard]) => [`${name}.json`, JSON.stringify(dashboard, null, 2)]);
const all = findings(Object.fromEntries(texts));

test('a right dashboard is taken', () => {
  assert.deepEqual(all.filter((finding) => finding.startsWith('right.json')), []);
});

for (const [name, [, named]] of Object.entries(broken)) {
  test(`${name} is refused`, () => {
    const found = all.filter((finding) => finding.startsWith(`${name}.json`));
    assert.ok(found.some((finding) => finding.includes(named)), `expected a finding about ${named}, got: ${found.join('\n')}`);
  });
}
