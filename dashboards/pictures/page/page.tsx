import { createTheme, dateTime, ThemeContext, transformDataFrame, type DataFrame } from '@grafana/data';
import { GlobalStyles } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { firstValueFrom } from 'rxjs';

import { Dashboard } from './dashboard';
import { frames } from './frames';
import type { Picture } from './picture';
import { register } from './registries';

declare global {
  interface Window {
    picture: Picture & { step: number };
  }
}

async function show({ panels, step, ...picture }: Window['picture']) {
  register();
  const theme = createTheme({ colors: { mode: 'dark' } });
  const from = dateTime(picture.from * 1000).utc();
  const to = dateTime(picture.to * 1000).utc();
  const timeRange = { from, to, raw: { from, to } };
  const shown = panels.map(async ({ panel, answers }) => {
    const raw = frames(answers, step);
    const data: DataFrame[] = await firstValueFrom(transformDataFrame(panel.transformations ?? [], raw));
    if (panel.type !== 'row' && data.every((frame) => frame.length === 0) && panel.fieldConfig.defaults.noValue === undefined) {
      throw new Error(`${panel.title} would be empty`);
    }
    return { panel, data };
  });
  const root = createRoot(document.getElementById('root')!);
  const styles = <GlobalStyles />;
  flushSync(() => root.render(<ThemeContext.Provider value={theme}>{styles}</ThemeContext.Provider>));
  // What is measured and drawn without its font stays as it is when the font arrives.
  const fonts = await Promise.all([400, 500].map((weight) => document.fonts.load(`${weight} 12px Inter`)));
  if (fonts.some((found) => found.length === 0)) {
    throw new Error('the font Inter is missing');
  }
  root.render(
    <ThemeContext.Provider value={theme}>
      {styles}
      <Dashboard {...picture} panels={await Promise.all(shown)} timeRange={timeRange} />
    </ThemeContext.Provider>
  );
  requestIdleCallback(() => (document.body.dataset.done = 'yes'));
}

void show(window.picture);
