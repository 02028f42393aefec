// Making elements. The only way text gets into a page is `text`, which is never read as markup.

/** Make an element: `text` sets its text, `on` its listeners, a null attribute is left out, everything else is set. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Make an icon of the sprite in index.html. */
export function icon(name) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("class", "icon");
  made.setAttribute("aria-hidden", "true");
  made.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  setIcon(made, name);
  return made;
}

export function setIcon(made, name) {
  made.firstChild.setAttribute("href", `#icon-${name}`);
}

/** Set text only where it differs, so that an unchanged page costs the browser nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
