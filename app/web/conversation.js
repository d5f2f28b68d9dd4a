/**
 * One thread on screen: loads it, runs requests in it and follows their events. Everything the
 * view needs is in `state`, `busy`, `loading` and `banner`; `hooks.changed()` says look again.
 */
import { ask, attach, RefusedError, stream, UnreachableError } from './client.js';
import { withValues } from './forms.js';
import * as states from './state.js';

const RECONNECT_MS = [300, 1000, 3000, 6000, 10_000];
const MAX_CUTS = 20;
const MAX_TOOL_CHAIN = 10; // a server that keeps calling tools must not keep the page busy for ever
const PAGE = 30;
const REFRESH_MS = 30_000; // an image that is really gone must not be asked for again and again
const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const lastOf = (items, type) => items.findLast((item) => item.type === type);

export class Conversation {
  state = states.emptyState();
  loading = false;
  failure = null; // { message, retry }: a request that failed, as opposed to an error event
  feedback = new Map();
  #run = null;
  #threadId = null;
  #toolChain = 0;
  #refreshedAt = 0;

  constructor(hooks, tools) {
    this.hooks = hooks;
    this.tools = tools;
  }

  get threadId() { return this.state.thread?.id ?? this.#threadId; }
  get busy() { return this.#run !== null; }
  get canStop() { return this.busy && this.state.allowCancel; }

  /** What went wrong, with a way to try again if there is one. */
  get banner() {
    if (this.failure) return this.failure;
    const { error, items } = this.state;
    if (!error) return null;
    const message = typeof error.message === 'string' ? error.message : 'Something went wrong while answering.';
    const last = lastOf(items, 'user_message');
    return { message, retry: error.canRetry && last ? () => this.retry(last.id) : null };
  }

  /** Shows a thread, or with null a new one. An answer that is under way elsewhere is left alone. */
  async open(threadId) {
    this.#leave();
    this.state = states.emptyState();
    Object.assign(this, { failure: null, loading: Boolean(threadId) });
    this.#threadId = threadId;
    this.#toolChain = 0;
    this.hooks.changed();
    if (!threadId) return;
    const run = newRun();
    const here = () => this.threadId === threadId && !this.busy;
    // Asked before the items are: a run that ends in between has then either been attached to or
    // has stored what it made. A slow answer to this must not keep the thread from showing.
    const running = attach(threadId, '', run.signal).catch(() => null);
    try {
      const [thread] = await Promise.all([ask('threads.get_by_id', { thread_id: threadId }), Promise.race([running, sleep(1000)])]);
      const page = await this.#newestPage(threadId);
      if (!here()) return;
      this.#set(states.mergeNewest(states.applyEvent(this.state, { type: 'thread.updated', thread }), page));
    } catch (error) {
      if (here()) this.#fail(error, () => this.open(threadId));
    } finally {
      if (this.threadId === threadId) this.loading = false;
      this.hooks.changed();
    }
    const events = await running;
    if (!events) return;
    if (!here() || this.failure) events.close();
    // The log replays the run from its start; afterwards the stored items have the last word.
    else await this.#perform(async () => events, { run, reload: true });
  }

  /** The user gave it another title in the sidebar. */
  rename(title) {
    this.#set({ ...this.state, thread: { ...this.state.thread, title } });
  }

  dismiss(notice) {
    this.#set({ ...this.state, notices: this.state.notices.filter((other) => other !== notice) });
  }

  /** An image did not load. Its address may have expired while the page stood open. */
  refresh() {
    if (this.busy || this.loading || Date.now() - this.#refreshedAt < REFRESH_MS) return;
    this.#refreshedAt = Date.now();
    this.#reload().catch((error) => console.warn(error));
  }

  async loadOlder() {
    const { threadId } = this;
    const page = await this.#ask('items.list', { thread_id: threadId, order: 'desc', limit: PAGE, after: this.state.older });
    if (page && this.threadId === threadId) this.#set(states.prependPage(this.state, page));
  }

  send(text, attachments = []) {
    const content = text ? [{ type: 'input_text', text }] : [];
    const input = { content, attachments: attachments.map(({ id }) => id), inference_options: {} };
    const { threadId } = this;
    const [type, params] = threadId ? ['threads.add_user_message', { thread_id: threadId, input }] : ['threads.create', { input }];
    this.#toolChain = 0;
    const draft = { id: 'draft', type: 'user_message', content, attachments };
    return this.#request(type, params, { draft, again: () => this.hooks.resend(), refused: () => this.hooks.giveBack(text, attachments) });
  }

  retry(itemId) {
    const started = () => this.#set(states.truncateAfter(this.state, itemId));
    return this.#request('threads.retry_after_item', { thread_id: this.threadId, item_id: itemId }, { started });
  }

  answer(item, input) {
    return this.#request('threads.add_structured_input', { thread_id: this.threadId, item_id: item.id, input });
  }

  /** Stop. The fetch underneath turns this abort into the server's cancel request. */
  stop() {
    this.#run?.controller.abort();
  }

  /** A widget action. `streaming: false` asks for one changed item and works during an answer. */
  async act({ type, payload, handler, streaming }, itemId, values) {
    const params = { thread_id: this.threadId, item_id: itemId, action: { type, payload: withValues(payload, values) } };
    if (handler === 'client') {
      document.dispatchEvent(new CustomEvent('chatkit:action', { detail: { action: params.action, itemId } }));
    } else if (streaming === false) {
      const { updated_item: item } = (await this.#ask('threads.sync_custom_action', params)) ?? {};
      if (item) this.#apply({ type: 'thread.item.replaced', item });
    } else if (this.busy) {
      this.#apply({ type: 'notice', level: 'info', message: 'Please wait until the current answer is finished.' });
    } else {
      await this.#request('threads.custom_action', params);
    }
  }

  async sendFeedback(itemId, kind) {
    this.feedback.set(itemId, kind);
    const answer = await this.#ask('items.feedback', { thread_id: this.threadId, item_ids: [itemId], kind });
    if (!answer) this.feedback.delete(itemId);
  }

  /** Runs a client tool and hands in what it returned; a failing tool is an answer, too. */
  async runTool(item) {
    if (this.busy || item.status !== 'pending') return;
    const { threadId } = this;
    let result;
    try {
      const tool = Object.hasOwn(this.tools, item.name) ? this.tools[item.name] : null;
      result = tool ? await tool(item.arguments ?? {}) : { error: `This page has no tool named ${item.name}.` };
    } catch (error) {
      result = { error: String(error?.message ?? error) };
    }
    if (this.threadId !== threadId || this.busy) return;
    const started = () => this.#set(states.completeToolCall(this.state, item.id, result));
    await this.#request('threads.add_client_tool_output', { thread_id: threadId, result }, { started });
  }

  #request(type, params, options = {}) {
    if (this.busy || this.loading) return undefined;
    const again = options.again ?? (() => this.#request(type, params, options));
    return this.#perform((run) => stream(type, params, run.signal), { ...options, again });
  }

  /** The life of one streamed answer. Whoever finds `#run` changed has been left and keeps quiet. */
  async #perform(start, { run = newRun(), draft, started, again, refused, reload }) {
    const mine = () => this.#run === run;
    this.#run = run;
    this.failure = null;
    this.#set(states.beginRun(this.state, draft));
    try {
      run.events = await start(run);
      if (!mine()) return run.events.close().then(this.hooks.left);
      started?.();
      await this.#follow(run);
      if (!mine()) return undefined;
      this.state = states.endRun(this.state);
      // What another server showed came from what is stored, in larger pieces: take the whole of it.
      if (reload || run.lastId.includes(':~')) await this.#reload();
    } catch (error) {
      if (!mine()) return undefined;
      const stopped = run.signal.aborted;
      const unsaved = Boolean(this.state.draft);
      this.state = states.endRun(this.state, { stopped: true });
      if (!stopped) this.#fail(error, again ?? (() => this.open(this.threadId)));
      if (!stopped && unsaved) refused?.();
    } finally {
      if (mine()) this.#run = null;
      this.hooks.changed();
    }
    return this.#answerLastTool(run);
  }

  async #follow(run) {
    for (let cuts = 0; ; cuts += 1) {
      let broken = null;
      try {
        for await (const { id, event } of run.events) {
          if (this.#run !== run) return;
          if (id) run.lastId = id;
          this.#apply(event);
        }
      } catch (error) {
        broken = error;
      }
      if (this.#run !== run) return;
      // Some proxies end a cut stream politely; a message in the middle of its text gives it away.
      if (!broken && !this.#endsEarly()) return this.#followElsewhere(run);
      if (run.signal.aborted || !this.threadId || cuts === MAX_CUTS) throw broken ?? new UnreachableError('cut');
      // The connection broke, the run did not: come back to it where it was left.
      run.events = await this.#reconnect(run);
      if (!run.events) return;
    }
  }

  /**
   * A server that lost its database ends the stream with an error that may be tried again, while
   * another one has the answer: look there once before the user is asked to.
   */
  async #followElsewhere(run) {
    if (!this.state.error?.canRetry || run.signal.aborted || run.hasLooked || !this.threadId) return undefined;
    run.hasLooked = true;
    const events = await attach(this.threadId, run.lastId, run.signal).catch(() => null);
    if (!events || this.#run !== run) return events?.close();
    run.events = events;
    this.#set({ ...this.state, error: null });
    return this.#follow(run);
  }

  #endsEarly() {
    const { items, pending, error } = this.state;
    return !error && items.some((item) => item.type === 'assistant_message' && pending.includes(item.id));
  }

  async #reconnect(run) {
    this.#apply({ type: 'progress_update', text: 'Connection lost. Reconnecting…' });
    for (const delay of RECONNECT_MS) {
      await sleep(delay);
      run.signal.throwIfAborted();
      try {
        const events = await attach(this.threadId, run.lastId, run.signal);
        if (!events && this.#run === run) await this.#reload();
        return events;
      } catch (error) {
        if (!(error instanceof UnreachableError)) throw error;
      }
    }
    throw new UnreachableError('gave up reconnecting');
  }

  #answerLastTool(run) {
    const item = this.state.items.at(-1);
    if (run.signal.aborted || this.failure || this.state.error || item?.type !== 'client_tool_call') return undefined;
    this.#toolChain += 1;
    return this.#toolChain > MAX_TOOL_CHAIN ? undefined : this.runTool(item);
  }

  #newestPage(threadId) {
    return ask('items.list', { thread_id: threadId, order: 'desc', limit: PAGE });
  }

  async #reload() {
    const { threadId } = this;
    const page = await this.#newestPage(threadId);
    if (this.threadId === threadId) this.#set(states.mergeNewest(this.state, page));
  }

  /** Something small beside the answer: its failure is a notice, not the end of anything. */
  async #ask(type, params) {
    try {
      return await ask(type, params);
    } catch (error) {
      this.#apply({ type: 'notice', level: 'danger', message: error.message });
      return null;
    }
  }

  #apply(event) {
    if (event?.type === 'client_effect') {
      console.info('client effect', event.name, event.data);
      document.dispatchEvent(new CustomEvent('chatkit:effect', { detail: { name: event.name, data: event.data } }));
      return;
    }
    try {
      this.#set(states.applyEvent(this.state, event));
    } catch (error) {
      console.warn('Ignored an event that makes no sense', event, error);
    }
    if (event?.type === 'thread.created' || event?.type === 'thread.updated') this.hooks.thread(this.state.thread);
  }

  #set(state) {
    this.state = state;
    this.hooks.changed();
  }

  #fail(error, retry) {
    console.warn(error);
    const known = error instanceof RefusedError || error instanceof UnreachableError;
    const missing = error instanceof RefusedError && error.status === 404;
    const message = missing ? 'This conversation does not exist (any more).' : known ? error.message : 'Something went wrong on this page.';
    const hopeless = error instanceof RefusedError && [400, 403, 404, 413, 422].includes(error.status);
    this.failure = { message, detail: error.requestId, retry: hopeless ? null : retry };
  }

  /** Closes the connection without an abort: an abort would mean Stop. */
  #leave() {
    const run = this.#run;
    this.#run = null;
    run?.events?.close();
  }
}

function newRun() {
  const controller = new AbortController();
  return { controller, signal: controller.signal, events: null, lastId: '' };
}
