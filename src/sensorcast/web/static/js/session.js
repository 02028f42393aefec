// Owns the access token of this tab: taken from the address once, kept for the tab only, and never sent in an address.

const KEY = "sensorcast.token";

/**
 * Take a token from `#token=...`, and remove it from the address and the history; else give the one kept.
 * A login link may lead to a view: `#token=...&view=/unit/ID?range=24h`, the view escaped as in any address.
 */
export function takeToken(location, history, storage) {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get("token");
  if (given) {
    storage.setItem(KEY, given);
    const view = fragment.get("view");
    history.replaceState(null, "", location.pathname + location.search + (view?.startsWith("/") ? `#${view}` : ""));
  }
  return given || storage.getItem(KEY);
}

export function keepToken(storage, token) {
  storage.setItem(KEY, token);
}

export function forgetToken(storage) {
  storage.removeItem(KEY);
}

/** Read a token's claims, for display only: whether they hold is the server's to say. Null when it is no token. */
export function claimsOf(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}
