/**
 * The part of Markdown that assistants write, as DOM nodes. No HTML, and images become links:
 * an image address is fetched unasked, which a prompt injection could use to carry text away.
 */
import { copyButton, h, link } from './dom.js';

const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)/;
const HEADING = /^ {0,3}(#{1,6})[ \t]+(.*)$/;
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^([ \t]*)([-*+]|\d{1,9}[.)])[ \t]+/;
const TABLE_RULE = /^[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$/;
const MAX_DEPTH = 6; // hostile nesting must not exhaust the stack

const drawn = new WeakMap();

/**
 * Shows `text` in `root`. While an answer streams only its last block changes, so blocks whose
 * source is the same keep their nodes (and the reader's selection in them).
 */
export function updateMarkdown(root, text) {
  const blocks = splitBlocks(text.split(/\r\n?|\n/)).map((lines) => lines.join('\n'));
  const old = drawn.get(root) ?? [];
  let same = 0;
  while (same < old.length && same < blocks.length && old[same] === blocks[same]) same += 1;
  while (root.childNodes.length > same) root.lastChild.remove();
  for (const block of blocks.slice(same)) root.append(renderBlock(block.split('\n'), 0));
  drawn.set(root, blocks);
}

export function markdown(text, className = 'markdown') {
  const root = h('div', { class: className });
  updateMarkdown(root, String(text ?? ''));
  return root;
}

const startsTable = (lines, at) => lines[at].includes('|') && at + 1 < lines.length && TABLE_RULE.test(lines[at + 1]);
const startsBlock = (line) => [FENCE, HEADING, RULE, QUOTE, ITEM].some((start) => start.test(line));
const isBlank = (line) => line.trim() === '';

function splitBlocks(lines) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const end = blockEnd(lines, at);
    blocks.push(lines.slice(at, end));
    at = end;
  }
  return blocks;
}

function blockEnd(lines, start) {
  const first = lines[start];
  let at = start + 1;
  const fence = FENCE.exec(first);
  if (fence) {
    while (at < lines.length && !closesFence(lines[at], fence[1])) at += 1;
    return Math.min(at + 1, lines.length);
  }
  if (HEADING.test(first) || RULE.test(first)) return at;
  if (QUOTE.test(first)) {
    while (at < lines.length && QUOTE.test(lines[at])) at += 1;
    return at;
  }
  const item = ITEM.exec(first);
  if (item) return listEnd(lines, at, /\d/.test(item[2]));
  if (startsTable(lines, start)) {
    while (at < lines.length && lines[at].includes('|')) at += 1;
    return at;
  }
  while (at < lines.length && !isBlank(lines[at]) && !startsBlock(lines[at]) && !startsTable(lines, at)) at += 1;
  return at;
}

const closesFence = (line, fence) => line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], '') === '';

/** A list goes on over blank lines as long as another item or indented text follows. */
function listEnd(lines, from, ordered) {
  let at = from;
  while (at < lines.length) {
    let next = at;
    while (next < lines.length && isBlank(lines[next])) next += 1;
    if (next === lines.length) return at;
    const item = ITEM.exec(lines[next]);
    const indented = /^(?: {2,}|\t)/.test(lines[next]);
    const sameKind = item && !RULE.test(lines[next]) && /\d/.test(item[2]) === ordered;
    const lazy = next === at && !startsBlock(lines[next]);
    if (!indented && !sameKind && !lazy) return at;
    at = next + 1;
  }
  return at;
}

/** Exactly one node per block: that is what lets updateMarkdown count them. */
function renderBlock(lines, depth) {
  const fence = FENCE.exec(lines[0]);
  if (fence) return codeBlock(lines, fence);
  const heading = HEADING.exec(lines[0]);
  // The page owns h1 and h2; an answer's outline begins below them.
  if (heading) return h(`h${Math.min(heading[1].length + 2, 6)}`, null, inline(heading[2].trim()));
  if (RULE.test(lines[0])) return h('hr');
  if (QUOTE.test(lines[0])) {
    return h('blockquote', null, renderBlocks(lines.map((line) => line.replace(QUOTE, '')), depth + 1));
  }
  if (ITEM.test(lines[0])) return list(lines, depth);
  if (startsTable(lines, 0)) return table(lines);
  return h('p', null, inline(lines.map((line) => line.trim()).join('\n')));
}

function renderBlocks(lines, depth) {
  if (depth > MAX_DEPTH) return [lines.join('\n')];
  return splitBlocks(lines).map((block) => renderBlock(block, depth));
}

function codeBlock(lines, [, fence, language]) {
  const closed = lines.length > 1 && closesFence(lines.at(-1), fence);
  const code = lines.slice(1, closed ? -1 : undefined).join('\n');
  return h(
    'div',
    { class: 'code-block' },
    h('div', { class: 'code-head' }, h('span', null, language || 'text'), copyButton(() => code, 'Copy code')),
    // A region that scrolls must be reachable for people without a mouse.
    h('pre', { tabindex: '0' }, h('code', null, code)),
  );
}

function list(source, depth) {
  const lines = source.map((line) => line.replace(/^\t+/, (tabs) => '    '.repeat(tabs.length)));
  const [, indent, marker] = ITEM.exec(lines[0]);
  const ordered = /\d/.test(marker);
  const items = [];
  let width = 0;
  for (const line of lines) {
    const item = ITEM.exec(line);
    const isNext = item && item[1].length < indent.length + 2 && item[1].length < width;
    if (isNext || !items.length) {
      width = item[0].length;
      items.push([line.slice(width)]);
    } else {
      // Continuation lines lose the item's indentation, as far as they have it.
      items.at(-1).push(line.replace(new RegExp(`^[ \\t]{0,${width}}`), ''));
    }
  }
  const start = ordered && Number.parseInt(marker, 10) !== 1 ? Number.parseInt(marker, 10) : null;
  return h(ordered ? 'ol' : 'ul', { start }, items.map((item) => h('li', null, itemContent(item, depth))));
}

function itemContent(lines, depth) {
  const task = /^\[([ xX])\] /.exec(lines[0]);
  const mark = task && h('span', { class: 'task-mark' }, task[1] === ' ' ? '☐ ' : '☑ ');
  const rest = task ? [lines[0].slice(4), ...lines.slice(1)] : lines;
  const nodes = renderBlocks(rest, depth + 1);
  // A lone first paragraph is shown without paragraph margins, as tight lists are.
  if (nodes[0]?.localName === 'p') nodes.splice(0, 1, ...nodes[0].childNodes);
  return [mark, nodes];
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, '').split(/(?<!\\)\|/).map((cell) => cell.trim());
  const sides = cells(lines[1]).map((cell) => (cell.endsWith(':') ? (cell.startsWith(':') ? 'center' : 'end') : null));
  const row = (tag) => (line) =>
    h('tr', null, cells(line).map((cell, at) => h(tag, { class: sides[at] && `align-${sides[at]}` }, inline(cell))));
  return h(
    'div',
    { class: 'table-scroll', tabindex: '0' },
    h('table', null, h('thead', null, row('th')(lines[0])), h('tbody', null, lines.slice(2).map(row('td')))),
  );
}

const WINDOW = 1000; // how far a closing mark is searched: keeps hostile text from costing n²
const LINK_TARGET = /\(\s*<?([^\s<>()]*(?:\([^\s()]*\)[^\s()]*)*)>?(?:\s+"[^"]*")?\s*\)/y;
const BARE_URL = /https?:\/\/[^\s<>"'`*|]+[^\s<>"'`*|.,;:!?)\]}]/y;
const ANGLE_URL = /<((?:https?:\/\/|mailto:)[^\s<>]+)>/y;
const SPECIAL = /[\\`*_~[!h<\n]/g;

/** Inline marks as an array of nodes and strings. */
function inline(text, depth = 0) {
  const out = [];
  let plain = '';
  const put = (node) => {
    if (plain) out.push(plain);
    plain = '';
    out.push(node);
  };
  for (let at = 0; at < text.length; ) {
    SPECIAL.lastIndex = at;
    const next = SPECIAL.exec(text)?.index ?? text.length;
    plain += text.slice(at, next);
    at = next;
    if (at === text.length) break;
    const found = inlineMark(text, at, depth);
    if (found?.node !== undefined) put(found.node);
    else plain += found ? found.text : text[at];
    at = found?.end ?? at + 1;
  }
  if (plain) out.push(plain);
  return out;
}

function inlineMark(text, at, depth) {
  switch (text[at]) {
    case '\n':
      return { node: h('br'), end: at + 1 };
    case '\\':
      return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? '') ? { text: text[at + 1], end: at + 2 } : null;
    case '`':
      return codeSpan(text, at);
    case '[':
      return linkMark(text, at, depth);
    case '!':
      return text[at + 1] === '[' ? linkMark(text, at + 1, depth) : null;
    case 'h':
      return urlMark(BARE_URL, text, at);
    case '<':
      return urlMark(ANGLE_URL, text, at);
    default:
      return depth < MAX_DEPTH ? emphasis(text, at, depth) : null;
  }
}

const runLength = (text, at) => {
  let end = at;
  while (text[end] === text[at]) end += 1;
  return end - at;
};

function codeSpan(text, at) {
  const size = runLength(text, at);
  const mark = text.slice(at, at + size);
  for (let end = text.indexOf(mark, at + size); end >= 0 && end < at + WINDOW; ) {
    const closing = runLength(text, end);
    if (closing === size) {
      const code = text.slice(at + size, end).replace(/^ (.*\S.*) $/s, '$1');
      return { node: h('code', null, code), end: end + size };
    }
    end = text.indexOf(mark, end + closing);
  }
  return { text: mark, end: at + size };
}

function urlMark(pattern, text, at) {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  if (!match) return null;
  const url = match[1] ?? match[0];
  return { node: link(url, url), end: at + match[0].length };
}

function linkMark(text, at, depth) {
  let level = 0;
  for (let end = at; end < text.length && end < at + WINDOW; end += 1) {
    if (text[end] === '\\') end += 1;
    else if (text[end] === '[') level += 1;
    else if (text[end] === ']' && (level -= 1) === 0) {
      LINK_TARGET.lastIndex = end + 1;
      const target = LINK_TARGET.exec(text);
      if (!target || depth >= MAX_DEPTH) return null;
      const label = text.slice(at + 1, end) || target[1];
      // At full depth: a link inside a link is not a link.
      return { node: link(target[1], inline(label, MAX_DEPTH)), end: LINK_TARGET.lastIndex };
    }
  }
  return null;
}

function emphasis(text, at, depth) {
  const char = text[at];
  const run = runLength(text, at);
  const size = Math.min(run, 3);
  const literal = { text: text.slice(at, at + run), end: at + run };
  const from = at + run;
  if (run > 3 || (char === '~' && run !== 2) || !text[from] || /\s/.test(text[from])) return literal;
  if (char === '_' && /\w/.test(text[at - 1] ?? '')) return literal;
  const end = emphasisEnd(text, from, char, size);
  if (end < 0) return literal;
  const inner = inline(text.slice(from, end), depth + 1);
  const tag = char === '~' ? 'del' : size === 1 ? 'em' : 'strong';
  return { node: h(tag, null, size === 3 ? h('em', null, inner) : inner), end: end + size };
}

function emphasisEnd(text, from, char, size) {
  for (let at = text.indexOf(char, from); at >= 0 && at < from + WINDOW; ) {
    const run = runLength(text, at);
    const opensInner = /\s/.test(text[at - 1]) || text[at - 1] === '\\';
    const insideWord = char === '_' && /\w/.test(text[at + run] ?? '');
    // `*a **b** c*`: a pair inside a single mark is not its end, three marks end both.
    const fits = size === 1 ? run !== 2 : run >= size;
    if (!opensInner && !insideWord && fits) return at + run - size;
    at = text.indexOf(char, at + run);
  }
  return -1;
}
