/**
 * Draws a widget tree. It covers the common components and their common properties; an unknown
 * component shows its children. Styles are set property by property from checked values, never
 * as a style string, so a widget cannot leave its box.
 */
import { chart } from './chart.js';
import { h, icon, image } from './dom.js';
import { formValues, nested } from './forms.js';
import { markdown } from './markdown.js';

/** `act(action, { element, values })` sends an action; `element` is what shows that it is busy. */
export function renderWidget(root, act) {
  const element = component(root, { act, key: `w${(serial += 1)}` });
  // A field without a label of its own still needs a name for those who cannot see it.
  const labelled = new Set([...element.querySelectorAll('label[for]')].map((label) => label.htmlFor));
  for (const field of element.querySelectorAll('[data-field]')) {
    if (!labelled.has(field.id) && !field.closest('label')) field.setAttribute('aria-label', field.getAttribute('placeholder') || field.dataset.field);
  }
  return element;
}
let serial = 0;

const list = (value) => (Array.isArray(value) ? value.flat(Infinity) : value && typeof value === 'object' ? [value] : []);
const children = (node, ctx) => list(node.children).map((child) => component(child, ctx));

function component(node, ctx) {
  if (!node || typeof node !== 'object') return h('span');
  const draw = Object.hasOwn(COMPONENTS, node.type) ? COMPONENTS[node.type] : COMPONENTS.Box;
  const element = draw(node, ctx);
  if (node.theme === 'light' || node.theme === 'dark') element.style.colorScheme = node.theme;
  return element;
}

/* Styling */

const unit = (value) => (typeof value === 'number' ? `${value * 4}px` : value);
const px = (value) => (typeof value === 'number' ? `${value}px` : value);
const TEXT_SIZES = { xs: 12, sm: 13, md: 15, lg: 17, xl: 20, '2xl': 24, '3xl': 30, '4xl': 36, '5xl': 44 };
const RADII = { '2xs': 2, xs: 4, sm: 6, md: 8, lg: 10, xl: 12, '2xl': 16, '3xl': 20, '4xl': 24, full: 9999, none: 0 };
const WEIGHTS = { normal: 400, medium: 500, semibold: 600, bold: 700 };
const FLEX = { start: 'flex-start', end: 'flex-end', between: 'space-between', around: 'space-around', evenly: 'space-evenly' };
const HUES = { red: 25, orange: 55, yellow: 90, green: 150, blue: 255, purple: 300, pink: 350 };
const TOKENS = {
  prose: '--text', primary: '--text', emphasis: '--text', secondary: '--text-2', tertiary: '--text-3',
  success: '--success', warning: '--warning', danger: '--danger', info: '--info', discovery: '--discovery',
  surface: '--surface', 'surface-secondary': '--surface-2', 'surface-tertiary': '--surface-3',
  'surface-elevated': '--surface', 'surface-elevated-secondary': '--surface-2',
  default: '--line', subtle: '--line', strong: '--line-strong',
};

/** A color token, a palette color such as `blue-500`, a CSS color or a pair for both themes. */
export function color(value) {
  if (value && typeof value === 'object') return `light-dark(${color(value.light)}, ${color(value.dark)})`;
  if (typeof value !== 'string') return '';
  if (Object.hasOwn(TOKENS, value)) return `var(${TOKENS[value]})`;
  const [, name, level = '500'] = /^(red|orange|yellow|green|blue|purple|pink|gray)(?:-(\d+))?$/.exec(value) ?? [];
  if (!name) return value;
  // Pale and dark shades carry less color, as in any hand-made palette. In a dark theme the scale
  // is turned round, so that `blue-100` stays a quiet background and `blue-800` readable on it.
  const chroma = name === 'gray' ? 0.01 : 0.17 * (1 - Math.abs(level - 500) / 560);
  const shade = (at) => `oklch(${1 - at / 1250} ${chroma} ${HUES[name] ?? 260})`;
  return `light-dark(${shade(Number(level))}, ${shade(1000 - level)})`;
}

const SIDES = { top: 'y', right: 'x', bottom: 'y', left: 'x' };

/** A value for all sides, or `{ x, y, top, right, bottom, left }`. */
function setSides(style, name, value, convert) {
  if (value === undefined || value === null) return;
  const perSide = Object.entries(SIDES).map(([side, axis]) => [side, value[side] ?? value[axis]]);
  if (perSide.every(([, own]) => own === undefined)) style.setProperty(name, convert(value));
  for (const [side, own] of perSide) if (own !== undefined) style.setProperty(`${name}-${side}`, convert(own));
}

const border = (value) =>
  typeof value === 'object' ? `${px(value?.size)} ${value?.style ?? 'solid'} ${color(value?.color ?? 'default')}` : `${px(value)} solid var(--line)`;

function styled(element, node) {
  const { style } = element;
  const set = (name, value) => value !== undefined && style.setProperty(name, value);
  for (const name of ['width', 'height', 'minWidth', 'minHeight', 'maxWidth', 'maxHeight']) {
    const short = { w: 'size', h: 'size', m: name.startsWith('min') ? 'minSize' : 'maxSize' }[name[0]];
    set(name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`), px(node[name] ?? node[short]));
  }
  set('gap', unit(node.gap));
  set('flex', node.flex);
  set('flex-wrap', node.wrap);
  set('align-items', FLEX[node.align] ?? node.align);
  set('justify-content', FLEX[node.justify] ?? node.justify);
  set('aspect-ratio', node.aspectRatio);
  set('border-radius', node.radius === undefined ? undefined : px(RADII[node.radius] ?? node.radius));
  if (node.background) set('background-color', color(node.background));
  setSides(style, 'padding', node.padding, unit);
  setSides(style, 'margin', node.margin, unit);
  setSides(style, 'border', node.border, border);
  return element;
}

function typeset(element, node, fallback) {
  const { style } = element;
  style.fontSize = `${TEXT_SIZES[node.size] ?? fallback}px`;
  if (node.weight) style.fontWeight = WEIGHTS[node.weight];
  if (node.color) style.color = color(node.color);
  if (node.textAlign) style.textAlign = node.textAlign;
  if (node.italic) style.fontStyle = 'italic';
  if (node.lineThrough) style.textDecoration = 'line-through';
  if (node.width !== undefined) style.width = px(node.width);
  if (node.minLines) style.minHeight = `${node.minLines * 1.5}em`;
  if (node.truncate || node.maxLines) {
    element.classList.add('w-clamp');
    style.webkitLineClamp = node.truncate ? 1 : node.maxLines;
  }
  return element;
}

const box = (direction, tag = 'div') => (node, ctx) => {
  const column = (direction ?? node.direction ?? 'col') === 'col';
  return styled(h(tag, { class: column ? 'w-box w-col' : 'w-box w-row' }, children(node, ctx)), node);
};

/* Actions */

/** Every action that starts inside a form carries the form's values; `own` is that of a lone field. */
function fire(ctx, action, element, own) {
  if (!action || typeof action.type !== 'string') return;
  const form = element.closest('form');
  ctx.act(action, { element, values: form ? formValues(form) : own });
}

const asForm = (ctx, action, element) => {
  element.addEventListener('submit', (event) => {
    event.preventDefault();
    fire(ctx, action, event.submitter ?? element);
  });
  return element;
};

const status = (value) =>
  value && h('div', { class: 'w-status' }, value.favicon ? image(value.favicon, { class: 'w-favicon' }) : value.icon && icon(value.icon), String(value.text ?? ''));

function card(node, ctx) {
  const { confirm, cancel } = node;
  const button = (part, kind) =>
    part && h('button', { type: kind === 'primary' && node.asForm ? 'submit' : 'button', class: `button ${kind}`, 'data-action': 'true',
      onclick: (event) => !(kind === 'primary' && node.asForm) && fire(ctx, part.action, event.currentTarget) }, String(part.label ?? ''));
  const body = styled(h('div', { class: 'w-card-body w-col', hidden: node.collapsed === true }, children(node, ctx)), { padding: node.padding });
  const footer = (confirm || cancel) && h('div', { class: 'w-card-foot' }, button(cancel, 'secondary'), button(confirm, 'primary'));
  const element = h(node.asForm ? 'form' : 'div', { class: `w-card w-size-${node.size ?? 'md'}` }, status(node.status), body, footer);
  styled(element, { background: node.background, border: node.border });
  return node.asForm ? asForm(ctx, confirm?.action, element) : element;
}

function listView(node, ctx) {
  const rows = children(node, ctx);
  const limit = node.limit === 'auto' ? 5 : Number(node.limit) || rows.length;
  for (const row of rows.slice(limit)) row.hidden = true;
  const more = rows.length > limit && h('button', { type: 'button', class: 'w-more',
    onclick: () => { for (const row of rows) row.hidden = false; more.remove(); } }, `Show ${rows.length - limit} more`);
  return h('div', { class: 'w-card w-list' }, status(node.status), rows, more);
}

function listItem(node, ctx) {
  const element = box('row')(node, ctx);
  element.classList.add('w-list-item');
  if (!node.onClickAction) return element;
  // A row may itself hold buttons, so it is a div that behaves like one.
  const go = (event) => !event.target.closest('button, a, input, select, textarea, label') && fire(ctx, node.onClickAction, element);
  Object.assign(element, { tabIndex: 0, role: 'button' });
  element.dataset.action = 'true';
  element.addEventListener('click', go);
  element.addEventListener('keydown', (event) => event.target === element && ['Enter', ' '].includes(event.key) && (event.preventDefault(), go(event)));
  return element;
}

function button(node, ctx) {
  const kind = node.color ?? node.style ?? (node.submit ? 'primary' : 'secondary');
  const classes = ['button', kind, node.variant && `v-${node.variant}`, node.block && 'block', node.pill && 'pill'].filter(Boolean);
  const element = h('button', { type: node.submit ? 'submit' : 'button', class: classes.join(' '), disabled: node.disabled, 'data-action': 'true',
    'aria-label': node.label ? null : String(node.onClickAction?.type ?? 'Action'),
    onclick: node.submit && !node.onClickAction ? null : () => fire(ctx, node.onClickAction, element),
  }, node.iconStart && icon(node.iconStart), node.label && String(node.label), node.iconEnd && icon(node.iconEnd));
  return element;
}

/* Fields. `data-field` holds the name: ids and names from a widget must not mix with the page's. */

const fieldId = (ctx, name) => `${ctx.key}-${name}`;
const changed = (ctx, node, read) => node.onChangeAction && ((event) => fire(ctx, node.onChangeAction, event.currentTarget, nested(node.name, read(event.currentTarget))));

function field(tag, node, ctx, props, ...content) {
  const name = String(node.name ?? '');
  const element = h(tag, { id: fieldId(ctx, name), class: 'field', 'data-field': name, placeholder: node.placeholder, required: node.required, disabled: node.disabled, pattern: tag === 'input' ? node.pattern : null, ...props }, ...content);
  if (node.defaultValue !== undefined && tag !== 'select') element.defaultValue = String(node.defaultValue);
  return element;
}

const INPUT_TYPES = ['number', 'email', 'text', 'password', 'tel', 'url'];
const input = (node, ctx) => field('input', node, ctx, { type: INPUT_TYPES.includes(node.inputType) ? node.inputType : 'text', autocomplete: 'off' });
const day = (value) => (value ? String(value).slice(0, 10) : null);

function select(node, ctx) {
  const options = list(node.options).map((option) =>
    h('option', { value: String(option.value), disabled: option.disabled, selected: option.value === node.defaultValue }, String(option.label ?? option.value)));
  const none = h('option', { value: '', selected: node.defaultValue === undefined, disabled: node.required }, node.placeholder ?? '–');
  return field('select', node, ctx, { onchange: changed(ctx, node, (element) => element.value) }, none, options);
}

function choice(type, node, ctx, option, onchange) {
  const props = { type, 'data-field': String(node.name), name: type === 'radio' ? fieldId(ctx, node.name) : null, value: option.value,
    checked: option.checked, disabled: node.disabled || option.disabled, required: node.required, onchange };
  return h('label', { class: 'w-choice' }, h('input', props), h('span', null, String(option.label ?? option.value ?? '')));
}

const radioGroup = (node, ctx) =>
  h('div', { class: `w-box ${node.direction === 'row' ? 'w-row' : 'w-col'}`, role: 'radiogroup', 'aria-label': node.ariaLabel ?? node.name },
    list(node.options).map((option) =>
      choice('radio', node, ctx, { ...option, checked: option.value === node.defaultValue }, changed(ctx, node, (element) => element.value))));

function text(node, ctx) {
  if (node.editable && typeof node.editable === 'object') {
    return field('textarea', { ...node.editable, defaultValue: node.value }, ctx, { rows: '1', class: 'field w-editable' });
  }
  return typeset(h('p', { class: node.streaming ? 'w-text streaming' : 'w-text' }, String(node.value ?? '')), node, 15);
}

const COMPONENTS = {
  Card: card,
  ListView: listView,
  ListViewItem: listItem,
  Basic: box(),
  Box: box(),
  Row: box('row'),
  Col: box('col'),
  Transition: box('col'),
  Form: (node, ctx) => asForm(ctx, node.onSubmitAction, box(null, 'form')(node, ctx)),
  Spacer: (node) => styled(h('div', { class: 'w-spacer' }), { minWidth: node.minSize, minHeight: node.minSize }),
  Divider: (node) => styled(h('hr', { class: node.flush ? 'w-flush' : null }), { margin: node.spacing === undefined ? undefined : { y: node.spacing } }),
  Text: text,
  Title: (node) => typeset(h('p', { class: 'w-title', role: 'heading', 'aria-level': '3' }, String(node.value ?? '')), node, 17),
  Caption: (node) => typeset(h('p', { class: 'w-caption' }, String(node.value ?? '')), node, 13),
  Markdown: (node) => markdown(node.value),
  Label: (node, ctx) => typeset(h('label', { class: 'w-label', for: fieldId(ctx, node.fieldName) }, String(node.value ?? '')), node, 14),
  Badge: (node) => h('span', { class: `badge ${node.color ?? 'secondary'} v-${node.variant ?? 'soft'}` }, String(node.label ?? '')),
  Icon: (node) => {
    const element = icon(node.name);
    if (node.color) element.style.color = color(node.color);
    if (node.size) element.style.fontSize = `${(TEXT_SIZES[node.size] ?? 16) + 3}px`;
    return element;
  },
  Image: (node) => {
    const element = styled(image(node.src, { alt: node.alt ?? '', class: node.frame ? 'w-image w-frame' : 'w-image' }), node);
    if (node.fit) element.style.objectFit = node.fit;
    if (node.position) element.style.objectPosition = node.position;
    return element;
  },
  Button: button,
  Input: input,
  Textarea: (node, ctx) => field('textarea', node, ctx, { rows: String(node.rows ?? 3) }),
  Select: select,
  Checkbox: (node, ctx) => choice('checkbox', node, ctx, { label: node.label ?? '', checked: node.defaultChecked }, changed(ctx, node, (element) => element.checked)),
  RadioGroup: radioGroup,
  DatePicker: (node, ctx) => {
    const dates = { type: 'date', min: day(node.min), max: day(node.max), onchange: changed(ctx, node, (element) => element.value) };
    return field('input', { ...node, defaultValue: day(node.defaultValue) ?? undefined }, ctx, dates);
  },
  Table: (node, ctx) => h('div', { class: 'table-scroll', tabindex: '0' }, h('table', null, list(node.children).map((row) => tableRow(row, ctx)))),
  Chart: (node) => styled(h('div', { class: 'w-chart' }, chart(node, color)), { width: node.width ?? node.size, flex: node.flex }),
};

function tableRow(row, ctx) {
  const cell = (node) =>
    styled(h(row.header ? 'th' : 'td', { class: `align-${node.align ?? 'start'}`, colspan: node.colSpan, rowspan: node.rowSpan }, children(node, ctx)),
      { width: node.width, padding: node.padding });
  return h('tr', null, list(row?.children).filter(Boolean).map(cell));
}
