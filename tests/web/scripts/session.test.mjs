import assert from "node:assert/strict";
import { test } from "node:test";
import { claimsOf, forgetToken, keepToken, takeToken } from "../../../src/sensorcast/web/static/js/session.js";

function browser(hash) {
  const kept = new Map();
  const calls = [];
  return {
    location: { hash, pathname: "/", search: "" },
    history: { replaceState: (...args) => calls.push(args) },
    storage: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) },
    calls,
  };
}

test("a token in the fragment is kept for the tab and removed from the address", () => {
  const { location, history, storage, calls } = browser("#token=a.b.c");
  assert.equal(takeToken(location, history, storage), "a.b.c");
  assert.deepEqual(calls, [[null, "", "/"]]);
  assert.equal(takeToken({ ...location, hash: "#/" }, history, storage), "a.b.c");
});

test("a login link may lead to a view", () => {
  const { location, history, storage, calls } = browser(`#token=a.b.c&view=${encodeURIComponent("/unit/a?range=24h")}`);
  takeToken(location, history, storage);
  assert.deepEqual(calls, [[null, "", "/#/unit/a?range=24h"]]);
  takeToken({ ...location, hash: "#token=a.b.c&view=javascript:alert(1)" }, history, storage);
  assert.deepEqual(calls[1], [null, "", "/"]);
});

test("an address of a view is left as it is", () => {
  const { location, history, storage, calls } = browser("#/unit/a?range=1h");
  keepToken(storage, "x.y.z");
  assert.equal(takeToken(location, history, storage), "x.y.z");
  assert.deepEqual(calls, []);
});

test("after signing out there is no token", () => {
  const { location, history, storage } = browser("#/");
  keepToken(storage, "x.y.z");
  forgetToken(storage);
  assert.equal(takeToken(location, history, storage), null);
});

test("claims are read as UTF-8, and what is no token has none", () => {
  const payload = Buffer.from(JSON.stringify({ org: "acme", sub: "Jürgen 漢" })).toString("base64url");
  assert.deepEqual(claimsOf(`h.${payload}.s`), { org: "acme", sub: "Jürgen 漢" });
  for (const text of ["", "a", "a.b.c", "a.!!.c", "..", `h.${Buffer.from([0xff, 0xfe]).toString("base64url")}.s`]) assert.equal(claimsOf(text), null, text);
});
