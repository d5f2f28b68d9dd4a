/** Examples of client tools: functions the assistant may call in this browser. Add your own. */

const THEMES = ['light', 'dark', 'system'];

/** `system` follows the computer's setting; the others are remembered in this browser. */
export function setTheme(theme) {
  if (!THEMES.includes(theme)) throw new Error(`theme must be one of ${THEMES.join(', ')}`);
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('theme', theme);
  } catch {
    // private windows may refuse storage; the theme then lasts until the page is closed
  }
  return theme;
}

export function restoreTheme() {
  try {
    setTheme(localStorage.getItem('theme') ?? 'system');
  } catch {
    setTheme('system');
  }
}

export function nextTheme() {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const { theme } = document.documentElement.dataset;
  const looksDark = theme === 'dark' || (theme === 'system' && dark);
  return setTheme(looksDark ? 'light' : 'dark');
}

export const tools = {
  get_browser_time: () => ({
    iso: new Date().toISOString(),
    local: new Date().toLocaleString(),
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
  }),
  switch_theme: ({ theme } = {}) => ({ theme: theme ? setTheme(theme) : nextTheme() }),
};
