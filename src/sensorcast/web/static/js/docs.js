// Draws the OpenAPI document of this server as a page. It is data from our own server, and still only set as text.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

/** Follow `$ref`s of a schema, each at most once on a path, so that what is shown is complete and ends. */
export function resolved(schema, components, seen = []) {
  if (Array.isArray(schema)) return schema.map((item) => resolved(item, components, seen));
  if (typeof schema !== "object" || schema === null) return schema;
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return seen.includes(name) ? { type: name } : resolved(components[name], components, [...seen, name]);
  }
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, components, seen)]));
}

function table(rows) {
  return element("table", "", ...rows.map((cells) => element("tr", "", ...cells.map((cell) => element("td", cell)))));
}

function schemaBlock(title, content, components) {
  const schema = content?.["application/json"]?.schema;
  if (!schema) return [];
  const text = JSON.stringify(resolved(schema, components), null, 2);
  return [element("details", "", element("summary", `${title}: ${schema.$ref.split("/").at(-1)}`), element("pre", text))];
}

function operation(path, method, described, components) {
  const article = element("article", "", element("h2", ""), element("p", described.summary));
  const badge = element("span", method);
  badge.className = "method";
  article.firstChild.append(badge, path);
  const credential = described.security ? Object.keys(described.security[0])[0] : "none";
  const needs = { apiKey: "header X-API-Key", token: "header Authorization: Bearer <token>", none: "nothing" };
  article.append(element("p", `Needs: ${needs[credential]}`));
  if (described.parameters.length) {
    article.append(element("h3", "Parameters"));
    article.append(table(described.parameters.map(({ name, in: where, description }) => [name, description || where])));
  }
  article.append(...schemaBlock("Body", described.requestBody?.content, components));
  const [, success] = Object.entries(described.responses).find(([status]) => status.startsWith("2"));
  article.append(...schemaBlock("Answer", success.content, components));
  article.append(element("h3", "Answers"));
  article.append(table(Object.entries(described.responses).map(([status, { description }]) => [status, description])));
  return article;
}

export function draw(description, about, operations) {
  about.textContent = `${description.info.title} ${description.info.version}. ${description.info.description}`;
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      operations.append(operation(path, method, described, description.components.schemas));
    }
  }
}

if (typeof document !== "undefined") {
  const answer = await fetch("/openapi.json");
  draw(await answer.json(), document.getElementById("about"), document.getElementById("operations"));
}
