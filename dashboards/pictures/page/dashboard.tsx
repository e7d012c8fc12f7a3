import type { DataFrame, TimeRange } from '@grafana/data';
import { Icon, PanelChrome, useTheme2 } from '@grafana/ui';

import { Visualization } from './panels';
import type { Panel, Picture } from './picture';

/** Grafana's grid: 24 columns, and lines of this height with this gap. */
const COLUMNS = 24;
const LINE = 30;
const GAP = 8;
const PADDING = 16;
const WIDTH = 1280;

interface Props extends Omit<Picture, 'panels'> {
  panels: Array<{ panel: Panel; data: DataFrame[] }>;
  timeRange: TimeRange;
}

export function Dashboard({ title, instance, panels, marks, timeRange }: Props) {
  const theme = useTheme2();
  const column = (WIDTH - 2 * PADDING + GAP) / COLUMNS;
  const places = placed(panels.map(({ panel }) => panel));
  const lines = Math.max(...places.map(({ y, h }) => y + h));
  const choice = (label: string, value: string) => (
    <span style={{ marginLeft: 16 }}>
      <span style={{ color: theme.colors.text.secondary }}>{label}</span> {value}
    </span>
  );
  return (
    <div style={{ width: WIDTH, padding: PADDING, background: theme.colors.background.canvas }}>
      <header style={{ display: 'flex', alignItems: 'baseline', marginBottom: GAP }}>
        <span style={{ ...theme.typography.h4 }}>{title}</span>
        {choice('instance', instance ?? 'All')}
        <span style={{ marginLeft: 'auto' }}>
          {timeRange.from.format('YYYY-MM-DD HH:mm:ss')} to {timeRange.to.format('HH:mm:ss')} UTC
        </span>
      </header>
      <div style={{ position: 'relative', height: lines * (LINE + GAP) - GAP }}>
        {panels.map(({ panel, data }, i) => {
          const { x, y, w, h } = places[i];
          const size = { width: w * column - GAP, height: h * (LINE + GAP) - GAP };
          const place = { position: 'absolute', left: x * column, top: y * (LINE + GAP), ...size } as const;
          return (
            <div key={panel.id} style={place}>
              {panel.type === 'row' ? (
                <Heading title={panel.title} />
              ) : (
                <PanelChrome title={panel.title} description={panel.description} {...size}>
                  {(width: number, height: number) => (
                    <Visualization panel={panel} data={data} width={width} height={height} timeRange={timeRange} marks={marks} />
                  )}
                </PanelChrome>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Heading({ title }: { title: string }) {
  const theme = useTheme2();
  return (
    <div style={{ ...theme.typography.h5, height: LINE, display: 'flex', alignItems: 'center', gap: GAP }}>
      <Icon name="angle-down" />
      {title}
    </div>
  );
}

/** The panels' places when there are no rows but theirs. */
function placed(panels: Panel[]) {
  let bottom = 0;
  let shift = 0;
  return panels.map(({ type, gridPos }) => {
    if (type === 'row') {
      shift = bottom - gridPos.y;
    }
    const place = { ...gridPos, y: gridPos.y + shift };
    bottom = Math.max(bottom, place.y + place.h);
    return place;
  });
}
