// The colours of the style sheet as scripts need them for drawing, and the choice of the colour theme.

const NAMES = ["trace", "trace-band", "quiet", "grid", "warning", "offline", "stale", "late", "ok", "line-strong"];
const KEY = "sensorcast.theme";
export const THEMES = ["auto", "light", "dark"];

/** Read the colours as they are now. A custom property is not resolved by itself, so each is asked for as a colour. */
export function readPalette() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const colours = {};
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

export function chosenTheme(storage) {
  const kept = storage.getItem(KEY);
  return THEMES.includes(kept) ? kept : "auto";
}

export function applyTheme(storage, theme) {
  storage.setItem(KEY, theme);
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
