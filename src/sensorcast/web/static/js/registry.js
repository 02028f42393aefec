// What units and sites are called and where units stand, as the organization has registered them.
//
// Asked for after each connect, when a unit appears that was unknown, and when somebody comes back to the page; one
// load at a time, never more often than every few seconds.

const PAGE = 1_000;
const PAGES_MAX = 20; // beyond 20,000 units the others are called by their ids
const PAUSE_MS = 5_000;
const OLD_MS = 60_000;

export class Registry {
  /** `onLoaded(units, sites)` gets every registered unit and site, as the API answers them. */
  constructor(api, onLoaded) {
    this.api = api;
    this.onLoaded = onLoaded;
    this.loadedMs = Number.NEGATIVE_INFINITY;
    this.timer = null;
    this.again = false;
    this.stopped = false;
  }

  /** Load soon; what is asked for during a load is loaded after it. */
  want(waitMs = 0) {
    if (this.stopped) return;
    if (this.timer !== null) this.again = true;
    else this.timer = setTimeout(() => this.run(), waitMs);
  }

  /** Load when what is known was loaded a while ago. */
  refresh() {
    if (Date.now() - this.loadedMs > OLD_MS) this.want();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  async run() {
    this.again = false;
    try {
      const [units, sites] = await Promise.all([this.all("units"), this.all("sites")]);
      this.loadedMs = Date.now();
      if (!this.stopped) this.onLoaded(units, sites);
    } catch {
      this.again = true; // names are a comfort: the page shows ids until they come
    }
    this.timer = null;
    if (this.again) this.want(PAUSE_MS);
  }

  async all(kind) {
    const found = [];
    let cursor = null;
    for (let page = 0; page < PAGES_MAX && cursor !== undefined; page += 1) {
      const answer = await this.api.get(`/${kind}`, { limit: PAGE, cursor });
      found.push(...answer[kind]);
      cursor = answer.nextCursor;
    }
    return found;
  }
}
