/**
 * What a dashboard of this project may hold: the types of `@grafana/schema`, made narrower where they leave a part open (options,
 * custom fields, overrides and queries are records of anything there).
 */
import type * as schema from '@grafana/schema';
import type * as bargauge from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as text from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

export type Dashboard = Omit<Json<schema.Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  schemaVersion: 41;
  panels: Array<Panel | Row>;
  annotations: { list: Annotation[] };
  templating: { list: Variable[] };
};

type Row = Omit<Json<schema.RowPanel>, 'panels'> & { panels: Panel[] };

/** Another kind of panel needs a line here. */
type Panel =
  | PanelOf<'bargauge', bargauge.Options, {}>
  | PanelOf<'heatmap', heatmap.Options, heatmap.FieldConfig>
  | PanelOf<'stat', stat.Options, {}>
  | PanelOf<'state-timeline', timeline.Options, timeline.FieldConfig>
  | PanelOf<'table', table.Options, table.FieldConfig>
  | PanelOf<'text', text.Options, {}>
  | PanelOf<'timeseries', timeseries.Options, timeseries.FieldConfig>;

/** Options and custom fields may be left out at any depth: Grafana merges them with the panel's defaults. */
type PanelOf<Type, Options, Custom> = Omit<Json<schema.Panel>, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options?: Parts<Json<Options>>;
  targets?: Query[];
  fieldConfig?: {
    defaults: Field & { custom?: Parts<Json<Custom>> };
    overrides: Array<{ matcher: Matcher; properties: Array<Property<Field, ''> | Property<Json<Custom>, 'custom.'>> }>;
  };
};

type Field = Omit<Json<schema.FieldConfig>, 'custom'>;

/** An override's property: its name decides what its value may be. */
type Property<Fields, Prefix extends string> = {
  [Name in keyof Fields & string]-?: { id: `${Prefix}${Name}`; value: Fields[Name] };
}[keyof Fields & string];

/** Whom an override is for; the names are those of `FieldMatcherID` in `@grafana/data`. */
type Matcher = { id: 'byName' | 'byRegexp' | 'byType' | 'byFrameRefID'; options: string };

/** Prometheus' query, as `packages/grafana-prometheus/src/dataquery.ts` has it in Grafana. */
type Query = Json<schema.DataQuery> & {
  expr: string;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
  legendFormat?: string;
  editorMode?: 'builder' | 'code';
  interval?: string;
};

/** With what Prometheus' `annotations.ts` reads from it beside the query. */
type Annotation = Omit<Json<schema.AnnotationQuery>, 'target'> & {
  target: Query;
  useValueForTime?: boolean;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
};

/** With the text that the list of variables shows, which only `QueryVariableModel` of `@grafana/data` has. */
type Variable = Json<schema.VariableModel> & { definition?: string };

/** A type as JSON has it: a string enum is the text of its members. */
type Json<T> = T extends string
  ? `${T}`
  : T extends Array<infer Item>
    ? Array<Json<Item>>
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

type Parts<T> = T extends unknown[] ? T : T extends object ? { [Key in keyof T]?: Parts<T[Key]> } : T;
