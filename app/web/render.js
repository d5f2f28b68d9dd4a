/**
 * How each kind of thread item looks. A view is made once per item and returns a function that
 * shows the item's newest state; `ctx` is what the item can ask the page to do.
 */
import { kindOf } from './attachments.js';
import { copyButton, h, icon, iconButton, image, link } from './dom.js';
import { keepFields } from './forms.js';
import { markdown, updateMarkdown } from './markdown.js';
import { messageText } from './state.js';
import { renderWidget } from './widgets.js';

/** Returns `{ node, update }`. Kinds that have nothing to show (end_of_turn, unknown) stay hidden. */
export function createItemView(item, ctx) {
  const view = Object.hasOwn(VIEWS, item.type) ? VIEWS[item.type] : null;
  const node = h('li', { class: `item item-${view ? item.type : 'hidden'}`, 'data-item': item.id, hidden: !view });
  if (item.type === 'user_message') node.dataset.testid = 'message-user';
  if (item.type === 'assistant_message') node.dataset.testid = 'message-assistant';
  const draw = view?.(node, ctx);
  const update = (next) => {
    try {
      draw?.(next);
    } catch (error) {
      // One item that is not as expected must not hide the others.
      console.warn('Cannot show item', next.id, error);
      node.replaceChildren(h('p', { class: 'muted' }, 'This part of the answer cannot be shown.'));
    }
  };
  update(item);
  return { node, update };
}

const VIEWS = {
  user_message: (node, ctx) => (item) => {
    const parts = (item.content ?? []).map((part) =>
      part.type === 'input_tag' ? h('span', { class: 'tag' }, `@${part.text}`) : String(part.text ?? ''));
    node.classList.toggle('draft', item.id === 'draft');
    const files = item.attachments ?? [];
    node.replaceChildren(
      ...(files.length ? [h('ul', { class: 'attached', 'aria-label': 'Attached files' }, files.map((file) => h('li', null, attachment(file, ctx))))] : []),
      ...(parts.length || item.quoted_text ? [bubble(item, parts)] : []),
    );
  },

  assistant_message: (node, ctx) => {
    const bodies = h('div', { class: 'bodies' });
    const foot = h('div', { class: 'message-foot' });
    node.append(bodies, foot);
    return (item) => {
      const content = item.content ?? [];
      while (bodies.childNodes.length < content.length) bodies.append(h('div', { class: 'markdown' }));
      content.forEach((part, at) => updateMarkdown(bodies.childNodes[at], String(part?.text ?? '')));
      const pending = ctx.isPending(item.id);
      node.classList.toggle('streaming', pending);
      node.setAttribute('aria-busy', String(pending));
      foot.replaceChildren(...sources(content.flatMap((part) => part?.annotations ?? [])), ...(pending ? [] : [reactions(item, ctx)]));
    };
  },

  workflow: (node, ctx) => {
    const title = h('span');
    const tasks = h('ol', { class: 'tasks' });
    const details = h('details', { class: 'workflow' }, h('summary', null, icon('chevron-right'), title), tasks);
    let chosen = false; // from the moment the user opens or closes it, it is theirs
    details.firstChild.addEventListener('click', () => (chosen = true));
    node.append(details);
    return ({ id, workflow = {} }) => {
      const pending = ctx.isPending(id);
      title.textContent = workflowTitle(workflow, pending);
      title.classList.toggle('shimmer', pending);
      if (!chosen) details.open = pending || workflow.expanded === true;
      tasks.replaceChildren(...(workflow.tasks ?? []).map(task));
    };
  },

  task: (node) => (item) => node.replaceChildren(h('ol', { class: 'tasks lone' }, task(item.task ?? {}))),

  generated_image: (node, ctx) => (item) => {
    const percent = Number.isFinite(item.progress) ? ` ${Math.round(item.progress * 100)} %` : '';
    node.replaceChildren(
      item.image?.url
        ? h('figure', { class: 'generated' }, image(item.image.url, { alt: 'Generated image', onerror: ctx.expired }))
        : h('div', { class: 'generated placeholder' }, icon('images'), h('span', { class: 'shimmer' }, `Creating the image…${percent}`)),
    );
  },

  widget: (node, ctx) => {
    const holder = h('div', { class: 'widget' });
    const foot = h('div', { class: 'message-foot' });
    node.append(holder, foot);
    return (item) => {
      const act = (action, origin) => ctx.act(action, item.id, { ...origin, holder });
      keepFields(holder, () => holder.replaceChildren(renderWidget(item.widget, act)));
      foot.replaceChildren(...(item.copy_text ? [copyButton(() => String(item.copy_text))] : []));
    };
  },

  client_tool_call: (node, ctx) => (item) => {
    const done = item.status === 'completed';
    const json = (value) => h('pre', { tabindex: '0' }, h('code', null, JSON.stringify(value, null, 2) ?? ''));
    const run = !done && h('button', { type: 'button', class: 'button secondary', onclick: () => ctx.runTool(item) }, 'Run');
    node.replaceChildren(
      h('details', { class: 'workflow' },
        h('summary', null, icon('chevron-right'), icon('settings-slider'), h('span', null, done ? 'Used ' : 'Wants to use ', h('code', null, String(item.name)), ' in this browser'), done && icon('check')),
        h('p', { class: 'muted' }, 'Arguments'), json(item.arguments),
        done && [h('p', { class: 'muted' }, 'Result'), json(item.output)]),
      ...(run ? [h('div', { class: 'idle-only' }, run)] : []),
    );
  },

  structured_input: (node, ctx) => (item) =>
    node.replaceChildren(item.status === 'pending' ? questionForm(item, ctx) : answers(item)),
};

const bubble = ({ quoted_text: quote }, parts) =>
  h('div', { class: 'bubble' },
    quote && h('blockquote', null, String(quote)),
    parts.length > 0 && h('div', { class: 'user-text' }, parts));

function attachment(file, ctx) {
  const name = String(file.name ?? 'File');
  if (file.type === 'image' && file.preview_url) return image(file.preview_url, { class: 'attached-image', alt: name, title: name, onerror: ctx.expired });
  return h('span', { class: 'file done', title: name },
    h('span', { class: 'file-picture' }, icon('document')),
    h('span', { class: 'file-text' }, h('span', { class: 'file-name' }, name), h('span', { class: 'file-note' }, kindOf(file))));
}

function reactions(item, ctx) {
  const chosen = ctx.feedbackOf(item.id);
  const thumb = (kind, label) =>
    iconButton('thumb', label, { class: `icon-button thumb ${kind}`, 'aria-pressed': String(chosen === kind), onclick: () => ctx.feedback(item.id, kind) });
  return h('div', { class: 'reactions' }, copyButton(() => messageText(item)), thumb('positive', 'Good answer'), thumb('negative', 'Bad answer'));
}

function sources(annotations) {
  const seen = new Map();
  for (const { source } of annotations) if (source) seen.set(source.url ?? source.filename ?? source.id ?? source.title, source);
  return seen.size ? [h('ul', { class: 'sources', 'aria-label': 'Sources' }, [...seen.values()].map((source) => h('li', null, sourceChip(source))))] : [];
}

function sourceChip(source) {
  const title = String(source.title || source.filename || source.url || 'Source');
  const hint = [source.description, source.attribution, source.timestamp].filter(Boolean).join(' · ') || null;
  const kind = source.type === 'url' ? 'globe' : source.type === 'file' ? 'document' : source.icon ?? 'sparkle';
  const chip = h('span', { class: 'chip', title: hint }, icon(kind), h('span', { class: 'chip-text' }, source.inline_label ?? title));
  return source.type === 'url' ? link(source.url, chip) : chip;
}

function workflowTitle({ type, summary }, pending) {
  if (summary?.title) return String(summary.title);
  if (Number.isFinite(summary?.duration)) {
    const { duration } = summary;
    const what = type === 'reasoning' ? 'Thought' : 'Worked';
    return duration < 1 ? `${what} for a moment` : `${what} for ${duration} second${duration === 1 ? '' : 's'}`;
  }
  if (type === 'reasoning') return pending ? 'Thinking…' : 'Thought';
  return pending ? 'Working…' : 'Steps taken';
}

const TASKS = {
  custom: { icon: 'sparkle', title: '' },
  web_search: { icon: 'search', title: 'Searched the web' },
  thought: { icon: 'lightbulb', title: '' },
  file: { icon: 'document', title: 'Read files' },
  image: { icon: 'images', title: 'Made an image' },
};
const STATUS = { loading: () => h('span', { class: 'spinner', role: 'img', 'aria-label': 'in progress' }), complete: () => icon('check') };

function task(entry) {
  const known = Object.hasOwn(TASKS, entry.type) ? TASKS[entry.type] : TASKS.custom;
  const mark = STATUS[entry.status_indicator]?.() ?? icon(entry.icon ?? known.icon);
  return h('li', { class: `task ${entry.status_indicator ?? 'none'}` },
    h('span', { class: 'task-icon' }, mark),
    h('div', { class: 'task-body' },
      // Reasoning titles come with Markdown emphasis.
      markdown(entry.title ?? entry.title_query ?? known.title, 'markdown task-title'),
      entry.content && markdown(entry.content, 'markdown small'),
      entry.queries?.length > 0 && h('div', { class: 'sources' }, entry.queries.map((query) => h('span', { class: 'chip' }, icon('search'), String(query)))),
      entry.sources?.length > 0 && h('div', { class: 'sources' }, entry.sources.map(sourceChip))));
}

function questionForm(item, ctx) {
  const questions = (item.inputs ?? []).map((input, at) => {
    const name = `${item.id}-${at}`;
    const type = input.multiple ? 'checkbox' : 'radio';
    const options = (input.options ?? []).map(({ value }) =>
      h('label', { class: 'w-choice' }, h('input', { type, name, value: String(value) }), h('span', null, String(value))));
    const own = h(input.type === 'freeform' ? 'textarea' : 'input',
      { class: 'field', rows: '2', 'aria-label': options.length ? `Other answer: ${input.question}` : String(input.question), placeholder: options.length ? 'Something else…' : null });
    // Words of one's own replace a single choice: both cannot be meant.
    own.addEventListener('input', () => {
      if (!input.multiple && own.value) for (const option of fieldset.querySelectorAll('input:checked')) option.checked = false;
    });
    const fieldset = h('fieldset', null, h('legend', null, String(input.question ?? '')),
      input.description && h('p', { class: 'muted' }, String(input.description)), options, own);
    const values = () => [...[...fieldset.querySelectorAll('input:checked')].map((option) => option.value), own.value.trim()].filter(Boolean);
    return { id: input.id, fieldset, values };
  });
  const submit = (event) => {
    event.preventDefault();
    const answer = ({ id, values }) => [id, values().length ? { values: values() } : { values: [], skipped: true }];
    ctx.answer(item, { status: 'answered', answers: Object.fromEntries(questions.map(answer)) });
  };
  return h('form', { class: 'w-card questions', onsubmit: submit },
    questions.map(({ fieldset }) => fieldset),
    h('div', { class: 'w-card-foot' },
      h('button', { type: 'button', class: 'button secondary', onclick: () => ctx.answer(item, { status: 'skipped', answers: {} }) }, 'Skip'),
      h('button', { type: 'submit', class: 'button primary' }, 'Send answers')));
}

const answers = (item) =>
  h('dl', { class: 'w-card answers' }, (item.inputs ?? []).map(({ question, answer }) => [
    h('dt', null, String(question ?? '')),
    h('dd', { class: answer?.values?.length ? null : 'muted' }, answer?.values?.length ? answer.values.join(', ') : 'Skipped'),
  ]));
