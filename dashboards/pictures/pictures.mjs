/**
 * What is pictured: rows of a dashboard, as it was at a moment of the recording (`to`) with a range and an instance chosen.
 * The PNGs are in docs/dashboards.
 */
export const pictures = [
  {
    file: 'rollout.png',
    dashboard: 'winddown-rollout',
    rows: ['How far', 'What clients see'],
    range: ({ began, rolledOut }) => [began + 12, rolledOut + 4],
  },
  {
    file: 'stop.png',
    dashboard: 'winddown',
    rows: ['Now'],
    instance: ({ stopped }) => stopped,
    range: ({ stopping, draining }) => [stopping - 20, draining],
  },
  {
    file: 'stopped.png',
    dashboard: 'winddown',
    rows: ['This shutdown'],
    instance: ({ stopped }) => stopped,
    range: ({ stopping, gone }) => [stopping - 10, gone],
  },
  {
    file: 'history.png',
    dashboard: 'winddown',
    rows: ['History'],
    range: ({ began, ended }) => [began + 12, ended],
  },
];
