import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, unitPath } from "../../../src/sensorcast/web/static/js/api.js";

test("ids stay what they are in an address, also those that look like steps of a path", () => {
  for (const [id, part] of [["fridge-1", "fridge-1"], ["a:b", "a%3Ab"], [".", "~."], ["..", "~.."], ["...", "..."]]) {
    assert.equal(unitPath(id, "latest"), `/units/${part}/latest`);
    const address = new URL(new Api("token", id).root + unitPath(id, "latest"), "http://server");
    assert.equal(address.pathname, `/api/orgs/${part}/units/${part}/latest`);
  }
});
