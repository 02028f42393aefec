// The page: signs in, connects, and shows the view that the address names. Everything else is in the modules it imports.

import { Announcer } from "./announcer.js";
import { Api } from "./api.js";
import { ConnectionChip } from "./connection_chip.js";
import { el } from "./dom.js";
import { Fleet } from "./fleet.js";
import { FleetView } from "./fleet_view.js";
import { Live } from "./live.js";
import { Loader } from "./loader.js";
import { LoginView } from "./login_view.js";
import { OperationsView } from "./operations_view.js";
import { applyTheme, chosenTheme, readPalette, THEMES } from "./palette.js";
import { queryOf, rangeOf } from "./range.js";
import { Registry } from "./registry.js";
import { claimsOf, forgetToken, keepToken, takeToken } from "./session.js";
import { UnitView } from "./unit_view.js";

const GATHER_MS = 80; // batches of one flush arrive within this; they are painted together
const CHECK_MS = 1_000;
const REGISTERED_MS = 2_000; // a unit is registered after its first reading; a little later its names are there
const ORGANIZATION_KEY = "sensorcast.organization";
const OPERATORS = new Set(["owner", "admin"]);

const page = Object.fromEntries(
  Object.entries({
    main: "#main", nav: ".sections", organization: ".organization", connection: ".connection", theme: "#theme",
    leave: "#leave", announcer: ".announcer", operations: "[data-section=operations]",
  }).map(([name, selector]) => [name, document.querySelector(selector)]),
);
const announcer = new Announcer(page.announcer);
const chip = new ConnectionChip(page.connection, () => session?.live.tryNow());
let session = null;
let view = null;
let palette = null;

class Session {
  constructor(token, claims) {
    this.organizations = Array.isArray(claims.org) ? claims.org : [claims.org];
    const kept = sessionStorage.getItem(ORGANIZATION_KEY);
    this.organizationId = this.organizations.includes(kept) ? kept : this.organizations[0];
    this.isOperator = OPERATORS.has(claims.role);
    this.api = new Api(token, this.organizationId);
    this.fleet = new Fleet();
    this.counts = this.fleet.check(0);
    this.dirty = new Set();
    this.loader = new Loader(this.api, () => this.repaint(null));
    this.registry = new Registry(this.api, (units, sites) => {
      this.fleet.takeRegistry(units, sites);
      this.repaint(null);
    });
    this.connects = 0;
    this.lostAtMs = null;
    this.live = new Live({
      token,
      organizationId: this.organizationId,
      on: {
        status: (status) => this.takeStatus(status),
        batch: (unitId, readings) => this.takeBatch(unitId, readings),
        latest: (readings) => this.takeLatest(readings),
        sites: (readings) => this.fleet.takeLatest(readings, this.now()),
        expiring: (atMs) => chip.expireAt(atMs),
        refused: (message) => leave(message),
      },
    });
    this.timer = setInterval(() => this.repaint(this.dirty), CHECK_MS);
    this.live.start();
  }

  now() {
    return Date.now() + this.live.clockOffsetMs;
  }

  /** The moment that what is shown is about: now, or when the connection was lost. Silence since then is ours. */
  shownMs() {
    return this.lostAtMs ?? this.now();
  }

  takeStatus(status) {
    const connected = status.state === "live" || status.state === "degraded";
    if (connected) this.lostAtMs = null;
    else if (this.connects > 0) this.lostAtMs ??= this.now();
    showStatus(status);
  }

  takeBatch(unitId, readings) {
    const known = this.fleet.units.has(unitId);
    const unit = this.fleet.takeBatch(unitId, readings, this.now());
    this.dirty.add(unit);
    if (!known) {
      this.loader.want([unit]);
      this.live.askSites();
      this.registry.want(REGISTERED_MS);
    }
    view.takeBatch?.(unitId, readings);
    this.schedule();
  }

  takeLatest(readings) {
    this.fleet.takeLatest(readings, this.now());
    for (const unit of this.fleet.units.values()) unit.loaded = false;
    this.loader.want([...this.fleet.units.values()]);
    this.registry.want();
    this.connects += 1;
    if (this.connects > 1) view.caughtUp?.();
    this.repaint(null);
  }

  /** Paint once for all batches that arrive together. */
  schedule() {
    this.gathering ??= setTimeout(() => {
      this.gathering = null;
      this.repaint(this.dirty);
    }, GATHER_MS);
  }

  /** Paint with the next frame; `dirty` are units with new readings, null means everything. */
  repaint(dirty) {
    if (dirty === null) this.paintAll = true;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint();
    });
  }

  paint() {
    const nowMs = this.shownMs();
    this.counts = this.fleet.check(nowMs);
    chip.paint(this.now() - this.fleet.newestMs);
    announcer.health(this.fleet.units.size, this.counts, nowMs);
    const dirty = this.paintAll ? null : this.dirty;
    view.paint?.({ counts: this.counts, dirty, nowMs, isConnected: this.lostAtMs === null, offsetMs: this.live.clockOffsetMs });
    this.paintAll = false;
    this.dirty = new Set();
    showTitle();
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.gathering);
    cancelAnimationFrame(this.frame);
    this.loader.stop();
    this.registry.stop();
    this.live.stop();
  }
}

function showStatus(status) {
  chip.show(status);
  chip.paint(session ? session.now() - session.fleet.newestMs : Number.POSITIVE_INFINITY);
  announcer.connection(status);
}

/** Start with a token; one that cannot even be read is refused here. */
function enter(token) {
  const claims = claimsOf(token);
  if (!claims?.org?.length) {
    leave("This is not an access token.");
    return;
  }
  keepToken(sessionStorage, token);
  session = new Session(token, claims);
  page.nav.hidden = false;
  page.leave.hidden = false;
  page.operations.hidden = !session.isOperator;
  page.organization.hidden = session.organizations.length < 2;
  page.organization.replaceChildren(...session.organizations.map((id) => el("option", { value: id, text: id, selected: id === session.organizationId })));
  route();
}

/** End the session and ask for another token. */
function leave(reason = "") {
  session?.close();
  session = null;
  forgetToken(sessionStorage);
  showStatus({ state: "off" });
  page.nav.hidden = true;
  page.leave.hidden = true;
  page.organization.hidden = true;
  show(new LoginView({ reason, onToken: enter }));
}

function switchOrganization() {
  sessionStorage.setItem(ORGANIZATION_KEY, page.organization.value);
  const token = takeToken(location, history, sessionStorage);
  session.close();
  session = null;
  location.hash = "#/";
  enter(token);
}

function show(next) {
  view?.unmount();
  view = next;
  page.main.replaceChildren(view.el);
  showTitle();
  view.mount();
  session?.repaint(null);
}

function showTitle() {
  const title = `${view.title} · sensorcast`;
  if (document.title !== title) document.title = title;
}

/** Give what a part of the address stands for; one that somebody broke is taken as it is, and is no unit. */
function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Show what the address names: `#/`, `#/unit/ID?range=1h`, `#/operations`. */
function route() {
  if (!session) return;
  const [path, query = ""] = location.hash.slice(1).split("?");
  const unit = /^\/unit\/(.+)$/.exec(path);
  const range = rangeOf(new URLSearchParams(query));
  const unitId = unit && plain(unit[1]);
  if (unit && view instanceof UnitView && view.unitId === unitId) {
    view.setRange(range);
    return;
  }
  const shared = { fleet: session.fleet, api: session.api, loader: session.loader, storage: localStorage, palette: () => palette };
  const section = unit ? "unit" : path === "/operations" && session.isOperator ? "operations" : "fleet";
  if (section === "unit") show(unitView(unitId, range, shared));
  else show(section === "operations" ? new OperationsView(shared) : new FleetView(shared));
  for (const link of page.nav.children) {
    const current = link.dataset.section === section ? "page" : section === "unit" && link.dataset.section === "fleet" ? "true" : null;
    if (current) link.setAttribute("aria-current", current);
    else link.removeAttribute("aria-current");
  }
  scrollTo(0, 0);
}

function unitView(unitId, range, shared) {
  const onRange = (chosen) => {
    location.hash = `#/unit/${encodeURIComponent(unitId)}?${queryOf(chosen)}`;
  };
  return new UnitView({ ...shared, unitId, range, onRange });
}

function setTheme(theme) {
  applyTheme(localStorage, theme);
  palette = readPalette();
  page.theme.setAttribute("aria-label", `Colour theme: ${theme}`);
  page.theme.title = `Colour theme: ${theme}`;
  view?.themed?.();
  session?.repaint(null);
}

page.theme.addEventListener("click", () => {
  setTheme(THEMES[(THEMES.indexOf(chosenTheme(localStorage)) + 1) % THEMES.length]);
});
page.leave.addEventListener("click", () => leave());
page.organization.addEventListener("change", switchOrganization);
addEventListener("online", () => session?.live.tryNow());
addEventListener("hashchange", () => {
  const given = takeToken(location, history, sessionStorage);
  if (given && !session) enter(given);
  else route();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  session?.registry.refresh();
  session?.repaint(null);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(chosenTheme(localStorage)));

setTheme(chosenTheme(localStorage));
const token = takeToken(location, history, sessionStorage);
if (token) enter(token);
else leave();
