// Numbers and times as text.

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const clockFine = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

const known = (value) => value !== null && value !== undefined;
const date = (epochS) => new Date(epochS * 1000);

export const NONE = "–";

export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** 1234567 → 1.23M; for places where the width counts. */
export function short(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e6) return `${fine.format(Math.round(value / 1e4) / 100)}M`;
  if (size >= 1e4) return `${whole.format(value / 1e3)}k`;
  if (size >= 1e3) return `${fine.format(Math.round(value / 1e2) / 10)}k`;
  return size < 10 ? fine.format(value) : whole.format(value);
}

/** Small credits keep their digits: 0.0042 is not nothing. */
export function credits(value) {
  if (!known(value)) return NONE;
  if (value !== 0 && Math.abs(value) < 0.01) return value.toPrecision(2);
  return fine.format(value);
}

export function ms(value) {
  if (!known(value)) return NONE;
  if (value < 1000) return `${whole.format(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(value / 60_000)} min ${Math.round((value % 60_000) / 1000)} s`;
}

/** For an axis: no more digits than the step needs. */
export const msShort = (value) =>
  (value === 0 ? "0" : value < 1000 ? `${fine.format(value)} ms` : `${fine.format(value / 1000)} s`);

/** Today's times as a clock, others with their day. */
export function time(epochS) {
  const at = date(epochS);
  const today = at.toDateString() === new Date().toDateString();
  return today ? clockFine.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

export const full = (epochS) => date(epochS).toLocaleString();
export const hourAndMinute = (epochS) => clock.format(date(epochS));
export const dayAndMonth = (epochS) => day.format(date(epochS));
// Days are counted in UTC, so they are named in UTC.
const utcDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
export const utcDayAndMonth = (epochS) => utcDay.format(date(epochS));

/** "in 3 h", "12 min ago". */
export function relative(epochS, nowS = Date.now() / 1000) {
  const distance = Math.abs(epochS - nowS);
  const text = span(distance);
  if (distance < 1) return "now";
  return epochS > nowS ? `in ${text}` : `${text} ago`;
}

function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** "1 request", "2 requests". */
export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
