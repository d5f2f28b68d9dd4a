/** Fields in widgets: reading them, and keeping them while the widget around them is redrawn. */

/** Field values nested by their dotted names. Without a prototype `__proto__` is just a name. */
export function formValues(form) {
  const values = Object.create(null);
  for (const field of form.querySelectorAll('[data-field]')) {
    if (field.type === 'radio' && !field.checked) continue;
    const value = field.type === 'checkbox' ? field.checked : field.value;
    // An unset choice is no value; an empty text is one.
    if (value === '' && (field.localName === 'select' || ['date', 'number'].includes(field.type))) continue;
    const path = field.dataset.field.split('.');
    let target = values;
    for (const key of path.slice(0, -1)) {
      if (typeof target[key] !== 'object') target[key] = Object.create(null);
      target = target[key];
    }
    target[path.at(-1)] = value;
  }
  return values;
}

/** One value under its dotted name. */
export const nested = (name, value) => String(name).split('.').reduceRight((inner, key) => ({ [key]: inner }), value);

const isRecord = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** An action's payload with the form's values in it. What the widget fixed stays as it is. */
export function withValues(payload, values) {
  if (payload !== null && payload !== undefined && !isRecord(payload)) return payload;
  const merged = { ...payload };
  for (const [name, value] of Object.entries(values ?? {})) {
    if (!Object.hasOwn(merged, name)) merged[name] = value;
    else if (isRecord(merged[name]) && isRecord(value)) merged[name] = withValues(merged[name], value);
    else console.error(`The form field "${name}" is ignored: the action's payload has a key of that name`);
  }
  return merged;
}

/** Runs `redraw` and carries over what the user has typed and where the cursor is. */
export function keepFields(holder, redraw) {
  const fields = () => [...holder.querySelectorAll('[data-field]')];
  const key = (field) => `${field.dataset.field}\n${field.type === 'radio' ? field.value : ''}`;
  const before = new Map(fields().map((field) => [key(field), field]));
  const focused = holder.contains(document.activeElement) ? document.activeElement : null;
  redraw();
  for (const field of fields()) {
    const old = before.get(key(field));
    if (!old) continue;
    if (touched(old)) {
      if (isToggle(field)) field.checked = old.checked;
      else field.value = old.value;
    }
    if (old === focused) field.focus();
  }
}

const isToggle = (field) => field.type === 'checkbox' || field.type === 'radio';

/** What the user has not touched follows the server's new default. */
function touched(field) {
  if (isToggle(field)) return field.checked !== field.defaultChecked;
  if (field.localName === 'select') return !field.selectedOptions[0]?.defaultSelected;
  return field.value !== field.defaultValue;
}
