/**
 * The only place that makes elements. Data reaches the page as text nodes and through the two
 * URL checks below, never as markup, so what a model or another user wrote cannot become code.
 */

/** h('a', { class: 'link', href, onclick }, 'text', node, null) */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'testid') element.dataset.testid = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function parseUrl(value) {
  try {
    return new URL(String(value), location.href);
  } catch {
    return null;
  }
}

/** An address that is safe to click, or null. */
export function safeHref(value) {
  const url = parseUrl(value);
  return url && ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : null;
}

/** An address that is safe as an image, or null. In an <img>, not even an SVG can run scripts. */
export function safeImage(value) {
  const url = parseUrl(value);
  if (!url) return null;
  const allowed =
    ['https:', 'blob:'].includes(url.protocol) || url.origin === location.origin || url.href.startsWith('data:image/');
  return allowed ? url.href : null;
}

/** A link to somewhere else; text alone when the address is not to be trusted. */
export function link(href, ...children) {
  const safe = safeHref(href);
  if (!safe) return h('span', null, ...children);
  return h('a', { href: safe, target: '_blank', rel: 'noopener noreferrer nofollow' }, ...children);
}

export function image(src, props) {
  const safe = safeImage(src);
  if (!safe) return h('span', { class: 'no-image' }, props?.alt || 'Image not shown');
  // The image's host learns nothing about the conversation's address.
  return h('img', { loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer', alt: '', ...props, src: safe });
}

// One 24×24 line drawing each, under the protocol's icon names where it has one.
const PATHS = {
  plus: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6L6 18',
  write: 'M4 20l1-4L16 5l3 3L8 19zM14 7l3 3',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5',
  thumb: 'M8 11v9H4v-9zM8 11l4-8c2 0 3 1 3 3l-1 4h5c1 0 2 1 1.700 2l-2 6.500c-.2 1-1 1.500-2 1.500H8',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 13l4 4L19 7',
  'check-circle': 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8 12l3 3 5-6',
  reload: 'M20 5v5h-5M19.500 10A8 8 0 1 0 20 14',
  'chevron-right': 'M9 6l6 6-6 6',
  globe: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18',
  document: 'M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6',
  sparkle: 'M12 3l2 7 7 2-7 2-2 7-2-7-7-2 7-2z',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 7v5l3 2',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v5M12 8v.01',
  alert: 'M12 4l9 16H3zM12 10v4M12 17v.01',
  'settings-slider': 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l4 4',
  calendar: 'M4 6h16v14H4zM4 10h16M8 3v4M16 3v4',
  images: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M9 9v.01',
  user: 'M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4 21c0-4 4-6 8-6s8 2 8 6',
  mail: 'M3 6h18v12H3zM3 7l9 6 9-6',
  'map-pin': 'M12 21c5-6 7-9 7-11a7 7 0 1 0-14 0c0 2 2 5 7 11M12 8v3',
  suitcase: 'M4 8h16v11H4zM9 8V5h6v3M4 13h16',
  lightbulb: 'M9 17c0-3-3-4-3-8a6 6 0 0 1 12 0c0 4-3 5-3 8zM10 21h4',
  bolt: 'M13 3L5 14h6l-1 7 8-11h-6z',
  star: 'M12 3l2.700 6 6.300.6-4.800 4.300 1.500 6.400L12 17l-5.700 3.300 1.500-6.400L3 9.600 9.300 9z',
  chart: 'M4 20h16M7 20v-7M12 20V6M17 20v-10',
  dot: 'M12 9a3 3 0 1 0 .01 0z',
};

export function icon(name) {
  const path = svg('path', { d: Object.hasOwn(PATHS, name) ? PATHS[name] : PATHS.dot });
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' }, path);
}

export function iconButton(name, label, props) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, ...props }, icon(name));
}

/** A copy button that says so for a moment. */
export function copyButton(text, label = 'Copy') {
  const button = iconButton('copy', label, {
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text());
      } catch {
        return; // not a secure context, or the user said no
      }
      button.replaceChildren(icon('check'));
      setTimeout(() => button.replaceChildren(icon('copy')), 1500);
    },
  });
  return button;
}
