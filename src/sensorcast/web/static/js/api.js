// Questions to the query API, with the token in a header and errors as the server words them.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Api {
  constructor(token, organizationId) {
    this.headers = { Authorization: `Bearer ${token}` };
    this.root = `/api/orgs/${part(organizationId)}`;
    this.organizationId = organizationId;
  }

  /** Ask for JSON below this organization; a parameter may be a list. */
  async get(path, parameters = {}, signal = undefined) {
    return (await this.fetched(`${this.root}${path}?${query(parameters)}`, signal)).json();
  }

  async file(path, parameters) {
    return (await this.fetched(`${this.root}${path}?${query(parameters)}`)).blob();
  }

  async stats() {
    return (await this.fetched(`/api/stats?${query({ organizationId: this.organizationId })}`)).json();
  }

  async metrics() {
    return (await this.fetched("/metrics")).text();
  }

  async fetched(address, signal) {
    const answer = await fetch(address, { headers: this.headers, signal });
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({ error: { code: "unknown", message: answer.statusText } }));
    throw new ApiError(answer.status, error.code, error.message);
  }
}

export function query(parameters) {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).filter((each) => each !== null).map((each) => [name, each]));
  return new URLSearchParams(pairs).toString();
}

/** An id as a part of an address; `.` and `..` would be taken for steps, even escaped. */
const part = (id) => (/^\.\.?$/.test(id) ? `~${id}` : encodeURIComponent(id));

export const unitPath = (unitId, rest) => `/units/${part(unitId)}/${rest}`;
export const time = (ms) => new Date(ms).toISOString();
