import { useLayoutEffect } from 'react';
import type uPlot from 'uplot';

import type { UPlotConfigBuilder } from '@grafana/ui';

/** On the right, for half of the last time below the plot. */
const ROOM = 30;

/** Annotations, as Grafana draws them: a dashed line through the plot, and a triangle below it. */
export function Marks({ config, at, color }: { config: UPlotConfigBuilder; at: number[]; color: string }) {
  // Before the plot is made: its parent mounts after it.
  useLayoutEffect(() => {
    config.addHook('draw', (plot) => at.forEach((moment) => draw(plot, moment, color)));
    config.setPadding([null, ROOM, null, null]);
  }, [config, at, color]);
  return null;
}

function draw(plot: uPlot, moment: number, color: string) {
  const { ctx } = plot;
  const { top, height } = plot.bbox;
  const x = Math.round(plot.valToPos(moment, 'x', true));
  const side = 5 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = color;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([side, side]);
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, top + height);
  ctx.stroke();
  ctx.beginPath();
  ctx.moveTo(x, top + height);
  ctx.lineTo(x - side, top + height + side);
  ctx.lineTo(x + side, top + height + side);
  ctx.fill();
  ctx.restore();
}
