/**
 * What a thread looks like on screen, as pure functions: `applyEvent(state, event)` returns the
 * next state and never changes the old one. Whatever did not change keeps its identity, so the
 * view can tell by `===` which items it has to draw again.
 */

export const emptyState = () => ({
  thread: null,
  items: [],
  older: null, // the cursor behind which the server has more items
  pending: [], // ids of items that were added and are not done
  draft: null, // the user's message until the server has echoed it
  allowCancel: false,
  progress: null,
  error: null,
  notices: [],
});

// An index from the network is used to grow a list; without a bound one frame could eat the memory.
const MAX_INDEX = 1000;
const isIndex = (value) => Number.isInteger(value) && value >= 0 && value < MAX_INDEX;
const isItem = (value) => typeof value?.id === 'string' && typeof value.type === 'string';

export function applyEvent(state, event) {
  switch (event?.type) {
    case 'thread.created':
    case 'thread.updated':
      return withThread(state, event.thread);
    case 'thread.item.added':
      if (!isItem(event.item)) return state;
      return { ...upsert(state, event.item), pending: [...without(state.pending, event.item.id), event.item.id] };
    case 'thread.item.done':
      if (!isItem(event.item)) return state;
      return { ...upsert(state, event.item), pending: without(state.pending, event.item.id) };
    case 'thread.item.replaced': // one that is being written goes on being written
      return isItem(event.item) ? upsert(state, event.item) : state;
    case 'thread.item.updated':
      return withItem(state, event.item_id, (item) => applyUpdate(item, event.update));
    case 'thread.item.removed':
      return {
        ...state,
        items: state.items.filter((item) => item.id !== event.item_id),
        pending: without(state.pending, event.item_id),
      };
    case 'stream_options':
      return { ...state, allowCancel: event.stream_options?.allow_cancel === true };
    case 'progress_update':
      return { ...state, progress: { icon: event.icon, text: String(event.text ?? '') } };
    case 'error':
      return {
        ...state,
        error: { code: event.code, message: event.message, canRetry: event.allow_retry === true },
      };
    case 'notice':
      return { ...state, notices: [...state.notices, event] };
    default:
      return state; // newer servers may send more than this page knows
  }
}

function withThread(state, thread) {
  if (typeof thread?.id !== 'string') return state;
  if (state.thread && state.thread.id !== thread.id) return state;
  const { items, ...fields } = thread; // the page of items in these events is always empty
  return { ...state, thread: { ...state.thread, ...fields } };
}

function upsert(state, item) {
  const at = state.items.findIndex((other) => other.id === item.id);
  const items = at < 0 ? [...state.items, item] : state.items.with(at, item);
  if (item.type === 'user_message') return { ...state, items, draft: null };
  return { ...state, items, progress: null }; // the thing that was being worked on is here
}

function withItem(state, id, change) {
  const at = state.items.findIndex((item) => item.id === id);
  if (at < 0) return state;
  const item = change(state.items[at]);
  return item === state.items[at] ? state : { ...state, items: state.items.with(at, item) };
}

const without = (list, value) => list.filter((entry) => entry !== value);

function applyUpdate(item, update) {
  const kind = String(update?.type ?? '');
  if (item.type === 'assistant_message' && kind.startsWith('assistant_message.')) return updateMessage(item, update);
  if (item.type === 'widget' && kind.startsWith('widget.')) return updateWidget(item, update);
  if (item.type === 'workflow' && kind.startsWith('workflow.')) return updateWorkflow(item, update);
  if (item.type === 'generated_image' && kind === 'generated_image.updated') {
    return { ...item, image: update.image ?? item.image, progress: update.progress };
  }
  return item;
}

function updateMessage(item, update) {
  const index = update.content_index;
  if (!isIndex(index)) return item;
  const content = [...(item.content ?? [])];
  // An update may name a part whose `added` never came.
  while (content.length <= index) content.push(textPart());
  const part = textPart(content[index]);
  switch (update.type) {
    case 'assistant_message.content_part.added':
      content[index] = textPart(update.content);
      break;
    case 'assistant_message.content_part.text_delta':
      content[index] = { ...part, text: part.text + String(update.delta ?? '') };
      break;
    case 'assistant_message.content_part.annotation_added': {
      if (!update.annotation) return item;
      const at = isIndex(update.annotation_index) ? update.annotation_index : part.annotations.length;
      const annotations = [...part.annotations];
      annotations.splice(at, 0, update.annotation);
      content[index] = { ...part, annotations };
      break;
    }
    case 'assistant_message.content_part.done': {
      const done = textPart(update.content);
      // Some servers forget here what they have streamed; the user should not see it vanish.
      if (!done.annotations.length) done.annotations = part.annotations;
      content[index] = done;
      break;
    }
    default:
      return item;
  }
  return { ...item, content };
}

const textPart = (part) => ({
  type: 'output_text',
  ...part,
  text: String(part?.text ?? ''),
  annotations: part?.annotations ?? [],
});

function updateWidget(item, update) {
  switch (update.type) {
    case 'widget.root.updated':
      return update.widget ? { ...item, widget: update.widget } : item;
    case 'widget.component.updated':
      return replaceComponent(item, update.component_id, (old) => update.component ?? old);
    case 'widget.streaming_text.value_delta':
      return replaceComponent(item, update.component_id, (old) => ({
        ...old,
        value: String(old.value ?? '') + String(update.delta ?? ''),
        streaming: update.done !== true,
      }));
    default:
      return item;
  }
}

function replaceComponent(item, id, change) {
  if (typeof id !== 'string') return item;
  const widget = mapComponent(item.widget, id, change);
  return widget === item.widget ? item : { ...item, widget };
}

/** Rebuilds only the path down to the component. Children are a list or a single component. */
function mapComponent(node, id, change) {
  if (!node || typeof node !== 'object') return node;
  if (node.id === id) return change(node);
  if (Array.isArray(node.children)) {
    for (const [at, child] of node.children.entries()) {
      const next = mapComponent(child, id, change);
      if (next !== child) return { ...node, children: node.children.with(at, next) };
    }
    return node;
  }
  const child = mapComponent(node.children, id, change);
  return child === node.children ? node : { ...node, children: child };
}

function updateWorkflow(item, update) {
  const at = update.task_index;
  if (!isIndex(at) || !update.task) return item;
  const tasks = [...(item.workflow?.tasks ?? [])];
  if (update.type === 'workflow.task.added') tasks.splice(at, 0, update.task);
  else if (update.type === 'workflow.task.updated' && at <= tasks.length) tasks[at] = update.task;
  else return item;
  return { ...item, workflow: { ...item.workflow, tasks } };
}

/* What the page itself does to the state. */

/** A new answer begins: what was said about the last one is over. */
export const beginRun = (state, draft = null) => ({
  ...state,
  draft,
  allowCancel: false,
  progress: null,
  error: null,
  notices: [],
});

/**
 * The answer is over. A stopped one keeps the text the user has read (the server stores it too)
 * and loses half-built widgets and workflows, which the server does not store.
 */
export function endRun(state, { stopped = false } = {}) {
  const keeps = (item) => {
    if (!state.pending.includes(item.id)) return true;
    if (item.type === 'assistant_message') return !stopped || messageText(item).trim() !== '';
    return item.type === 'generated_image' ? Boolean(item.image) && !stopped : !stopped;
  };
  const settled = (item) => (state.pending.includes(item.id) ? { ...item } : item);
  const items = state.pending.length ? state.items.filter(keeps).map(settled) : state.items;
  return { ...state, items, pending: [], draft: null, progress: null, allowCancel: false };
}

export const messageText = (item) => (item.content ?? []).map((part) => part?.text ?? '').join('\n\n');

const inOrder = (page) => (page.data ?? []).filter(isItem).reverse();
const cursorOf = (page) => (page.has_more ? page.after ?? null : null);

/** A page of `items.list`, newest first, that lies before everything that is shown. */
export function prependPage(state, page) {
  const known = new Set(state.items.map((item) => item.id));
  const older = inOrder(page).filter((item) => !known.has(item.id));
  return { ...state, items: [...older, ...state.items], older: cursorOf(page) };
}

/** The newest page of `items.list`, as the server has it; what is older than that page stays. */
export function mergeNewest(state, page) {
  const newest = inOrder(page);
  const fresh = new Set(newest.map((item) => item.id));
  const first = state.items.findIndex((item) => fresh.has(item.id));
  const kept = first < 0 ? [] : state.items.slice(0, first);
  return {
    ...state,
    items: [...kept, ...newest],
    older: kept.length ? state.older : cursorOf(page),
    pending: [],
  };
}

/** A retry throws away everything behind the message that is tried again. */
export function truncateAfter(state, id) {
  const at = state.items.findIndex((item) => item.id === id);
  return at < 0 ? state : { ...state, items: state.items.slice(0, at + 1), pending: [] };
}

/** The server does not send a tool call again when its output has been handed in. */
export const completeToolCall = (state, id, output) =>
  withItem(state, id, (item) => ({ ...item, status: 'completed', output }));
