// Which units are shown in which order, in which lines. Pure: from units and wishes to a list of lines.

import { STATES } from "./health.js";

const RANK = new Map(STATES.map((state, index) => [state, index]));
const byText = (a, b) => (a < b ? -1 : Number(a > b));

const byName = (a, b) => byText(a.sortKey, b.sortKey) || byText(a.id, b.id);
const byNumber = (of, direction) => (a, b) => {
  const [left, right] = [of(a), of(b)];
  if (left === right) return byName(a, b);
  if (left === null) return 1;
  if (right === null) return -1;
  return (left - right) * direction;
};

/** How units can be sorted; `flat` ones are not grouped by site. */
export const SORTS = {
  attention: { label: "Attention first", compare: byName },
  name: { label: "Site and name", compare: byName },
  warmest: { label: "Warmest first", compare: byNumber((unit) => unit.latest.temperature, -1), flat: true },
  coldest: { label: "Coldest first", compare: byNumber((unit) => unit.latest.temperature, 1), flat: true },
  battery: { label: "Lowest battery", compare: byNumber((unit) => unit.latest.battery, 1), flat: true },
  signal: { label: "Weakest signal", compare: byNumber((unit) => unit.latest.signalStrength, 1), flat: true },
  oldest: { label: "Oldest data", compare: byNumber((unit) => unit.recordedAtMs, 1), flat: true },
};

/** Whether a unit matches a search: every word is somewhere in its id, name, site, area or device. */
export function matches(unit, search) {
  const text = `${unit.id} ${unit.name} ${unit.siteName} ${unit.area} ${unit.latest.deviceId ?? ""}`.toLowerCase();
  return search.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** Give groups `{title, units, mixed}` of the units wished for; a mixed one holds units of several sites. */
export function grouped(units, { search = "", states = null, sort = "attention" }) {
  const { compare, flat } = SORTS[sort];
  const chosen = [...units].filter((unit) => (!states || states.has(unit.health.state)) && matches(unit, search)).sort(compare);
  if (flat) return chosen.length ? [{ title: SORTS[sort].label, units: chosen, mixed: true }] : [];
  const groups = sort === "attention" ? attentionGroup(chosen) : [];
  const rest = groups.length ? chosen.filter((unit) => unit.health.state === "ok" || unit.health.state === "late") : chosen;
  const sites = Map.groupBy ? Map.groupBy(rest, (unit) => unit.site) : groupBySite(rest);
  return [...groups, ...[...sites].map(siteGroup).sort((a, b) => byText(a.order, b.order))];
}

/** Units without a site come first, then sites by their names; two of one name stay two. */
function siteGroup([site, units]) {
  const title = units[0].siteName;
  return { key: site, title: title || "No site", order: `${title.toLowerCase()} ${site}`, units };
}

function attentionGroup(units) {
  const troubled = units.filter((unit) => unit.health.state !== "ok" && unit.health.state !== "late");
  troubled.sort((a, b) => RANK.get(a.health.state) - RANK.get(b.health.state) || Math.abs(b.deviation) - Math.abs(a.deviation) || byName(a, b));
  return troubled.length ? [{ title: "Needs attention", units: troubled, mixed: true }] : [];
}

function groupBySite(units) {
  const sites = new Map();
  for (const unit of units) {
    if (!sites.has(unit.site)) sites.set(unit.site, []);
    sites.get(unit.site).push(unit);
  }
  return sites;
}

/** Lay groups out as items with places: `{key, group | unit, x, y}`, and the height of all. */
export function laidOut(groups, { columns, unitWidth, unitHeight, gap, headHeight, left }) {
  const items = [];
  let y = 0;
  for (const { key = null, title, units, mixed = false } of groups) {
    items.push({ key: key === null ? `all ${title}` : `site ${key} ${title}`, group: { title, units }, x: 0, y, height: headHeight });
    y += headHeight;
    units.forEach((unit, index) => {
      const column = index % columns;
      const lineY = y + Math.floor(index / columns) * (unitHeight + gap);
      items.push({ key: `unit ${mixed} ${unit.id}`, unit, mixed, x: left + column * (unitWidth + gap), y: lineY, height: unitHeight });
    });
    y += Math.ceil(units.length / columns) * (unitHeight + gap);
  }
  return { items, height: y };
}

/** Give the items that touch a stretch of the page. Items are in order of `y`, so the first is found by halving. */
export function within(items, top, bottom) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].y + items[middle].height < top) low = middle + 1;
    else high = middle;
  }
  let end = low;
  while (end < items.length && items[end].y <= bottom) end += 1;
  return items.slice(low, end);
}
