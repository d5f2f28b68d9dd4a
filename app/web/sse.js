/**
 * Server-sent events from a fetch body. `EventSource` cannot be used: it knows neither POST
 * nor an Authorization header.
 */

/** A parser that is fed text in arbitrary pieces and returns the frames that became complete. */
export function createFrameParser() {
  let buffer = '';
  let data = [];
  let id = '';
  return function push(text) {
    buffer += text;
    const frames = [];
    let start = 0;
    const lineEnd = /\r\n|\n|\r/g;
    for (let match = lineEnd.exec(buffer); match; match = lineEnd.exec(buffer)) {
      // A CR at the very end may be half of a CRLF: wait for the next piece.
      if (match[0] === '\r' && lineEnd.lastIndex === buffer.length) break;
      const line = buffer.slice(start, match.index);
      start = lineEnd.lastIndex;
      if (line === '') {
        if (data.length) frames.push({ id, data: data.join('\n') });
        data = [];
        continue;
      }
      const colon = line.indexOf(':');
      if (colon === 0) continue; // a comment: the server's heartbeat
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'data') data.push(value);
      else if (field === 'id') id = value; // stays in force until the next one, as the standard says
    }
    buffer = buffer.slice(start);
    return frames;
  };
}

/**
 * The thread stream events of an answer: an async iterable of `{ id, event }`.
 * `close()` leaves the stream without telling anybody (an abort would mean Stop).
 */
export function openEventStream(response) {
  const reader = response.body.getReader();
  async function* events() {
    const decoder = new TextDecoder(); // keeps the bytes of a character that was cut in half
    const push = createFrameParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return; // a frame without its blank line was cut off and does not count
      for (const frame of push(decoder.decode(value, { stream: true }))) {
        let event;
        try {
          event = JSON.parse(frame.data);
        } catch (error) {
          // One broken frame must not take the rest of the answer with it.
          console.warn('Ignored a frame that is not JSON', error);
          continue;
        }
        yield { id: frame.id, event };
      }
    }
  }
  return {
    close: () => reader.cancel().catch(() => {}),
    [Symbol.asyncIterator]: events,
  };
}
