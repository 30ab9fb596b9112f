/**
 * Open questions and the streams that wait for them. A question belongs to one destination; every
 * stream to it that comes while the question is open waits for the same answer. Both pools are
 * bounded: a stream that finds them full falls back at once.
 *
 * An answer arrives in the root context, whichever stream asked. So streams are remembered here and
 * entered with `actFor`; a stream that has ended is skipped.
 */

import { actFor, call, DOWNSTREAM_STREAM, REQUEST_STREAM, resume, SECOND } from './abi';
import { hasAnswer, missAnswer, takeAnswer } from './answer';
import { allocate, markArena, rewindArena } from './arena';
import { putDecimal, sizeOf } from './bytes';
import * as names from './names';
import { putPair, startPairs } from './pairs';
import { steer } from './steer';
import { Entry, TCP_DESTINATION } from './table';
import { ANSWERED, ASKED, bump, ERRORS, OVERFLOW } from './totals';

/** Questions are about distinct destinations; 64 at once in one worker is a start-up burst. */
const MAX_QUESTIONS: u32 = 64;
/** A paused stream costs Envoy its buffers; beyond this the fallback is better. */
const MAX_WAITERS: u32 = 512;
/** Envoy ends a question after this time; a request must continue within 250 ms. */
const TIMEOUT_MS: u32 = 200;
/**
 * A question older than this lost its answer: Envoy does not report that it drops a root context.
 */
const LOST_AFTER: u64 = SECOND;

@unmanaged
class Question {
  token: u32;
  entry: usize;
  /** Numbers of waiters plus one; 0 = none. */
  first: u32;
  last: u32;
  askedAt: u64;
}

@unmanaged
class Waiter {
  stream: u32;
  /** Number plus one of the next waiter of the question, or of the next free one. */
  next: u32;
  endOfStream: bool;
}

const QUESTION_SIZE: u32 = 24;
const WAITER_SIZE: u32 = 12;
const QUESTIONS: usize = memory.data(MAX_QUESTIONS * QUESTION_SIZE, 8);
const WAITERS: usize = memory.data(MAX_WAITERS * WAITER_SIZE, 8);

/** How long the last question took, in microseconds, for the next one to tell; 0: unknown. */
let lastTook: u32 = 0;
let openQuestions: u32 = 0;
let freeWaiter: u32 = 0;
let waitersMade: u32 = 0;

function questionAt(index: u32): Question {
  return changetype<Question>(QUESTIONS + index * QUESTION_SIZE);
}

function waiterAt(number: u32): Waiter {
  return changetype<Waiter>(WAITERS + (number - 1) * WAITER_SIZE);
}

/** Makes the stream wait for the answer about its destination; false if it cannot wait. */
export function wait(entry: Entry, stream: u32, endOfStream: bool, time: u64): bool {
  if (freeWaiter == 0 && waitersMade == MAX_WAITERS) {
    bump(OVERFLOW);
    return false;
  }
  if (entry.question == 0 && !ask(entry, time)) return false;
  const number = freeWaiter != 0 ? freeWaiter : ++waitersMade;
  const waiter = waiterAt(number);
  if (freeWaiter != 0) freeWaiter = waiter.next;
  waiter.stream = stream;
  waiter.next = 0;
  waiter.endOfStream = endOfStream;
  const question = questionAt(<u32>entry.question - 1);
  if (question.first == 0) question.first = number;
  else waiterAt(question.last).next = number;
  question.last = number;
  return true;
}

function ask(entry: Entry, time: u64): bool {
  let index: u32 = 0;
  while (index < MAX_QUESTIONS && questionAt(index).token != 0) index++;
  if (index == MAX_QUESTIONS) {
    bump(OVERFLOW);
    return false;
  }
  const token = send(entry);
  if (token == 0) {
    bump(ERRORS);
    missAnswer(entry, time);
    return false;
  }
  const question = questionAt(index);
  question.token = token;
  question.entry = changetype<usize>(entry);
  question.first = 0;
  question.last = 0;
  question.askedAt = time;
  entry.question = <u8>(index + 1);
  openQuestions++;
  bump(ASKED);
  return true;
}

function send(entry: Entry): u32 {
  const isTcp = entry.kind == TCP_DESTINATION;
  const at = allocate(1024);
  if (at == 0) return 0;
  const tells: u32 = lastTook != 0 ? 1 : 0;
  startPairs(at, (isTcp ? 5 : 6) + tells);
  putPair(names.METHOD, names.GET, sizeOf(names.GET));
  putPair(names.PATH, names.RESOLVE_PATH, sizeOf(names.RESOLVE_PATH));
  putPair(names.AUTHORITY, names.NODE_CLUSTER, sizeOf(names.NODE_CLUSTER));
  const kind = isTcp ? names.TCP : names.HTTP;
  putPair(names.X_CALL, kind, sizeOf(kind));
  const destinationAt = <u32>entry.destinationAt;
  const destinationSize = <u32>entry.keySize - destinationAt;
  let size = putPair(names.X_DESTINATION, entry.key + destinationAt, destinationSize);
  // The key of an HTTP destination is its authority, NUL, ip:port.
  if (!isTcp) size = putPair(names.X_AUTHORITY, entry.key, destinationAt - 1);
  if (tells != 0) {
    const text = allocate(10);
    if (text == 0) return 0;
    size = putPair(names.X_TOOK, text, putDecimal(text, lastTook));
    lastTook = 0;
  }
  return call(names.NODE_CLUSTER, at, size, 0, 0, TIMEOUT_MS);
}

/** Handles the response of a call if it answers a question; false if it does not. */
export function settle(token: u32, failed: bool, time: u64): bool {
  for (let i: u32 = 0; i < MAX_QUESTIONS; i++) {
    const question = questionAt(i);
    if (question.token != token) continue;
    const entry = changetype<Entry>(question.entry);
    // Unsigned: a clock that jumped makes it too long.
    const took = time - question.askedAt;
    if (took < LOST_AFTER) lastTook = <u32>(took / 1000);
    let answered = false;
    if (failed || !hasAnswer()) missAnswer(entry, time);
    else if (takeAnswer(entry, time)) answered = true;
    else bump(ERRORS);
    if (answered) bump(ANSWERED);
    release(question, answered, time);
    return true;
  }
  return false;
}

/** Ends questions whose answer will never come. */
export function endLostQuestions(time: u64): void {
  for (let i: u32 = 0; i < MAX_QUESTIONS && openQuestions > 0; i++) {
    const question = questionAt(i);
    if (question.token == 0) continue;
    // Unsigned: a clock that jumped back looks like a very old question.
    if (time - question.askedAt <= LOST_AFTER) continue;
    missAnswer(changetype<Entry>(question.entry), time);
    release(question, false, time);
  }
}

function release(question: Question, confirmed: bool, time: u64): void {
  const entry = changetype<Entry>(question.entry);
  const streamType = entry.kind == TCP_DESTINATION ? DOWNSTREAM_STREAM : REQUEST_STREAM;
  const mark = markArena();
  let number = question.first;
  question.token = 0;
  entry.question = 0;
  openQuestions--;
  while (number != 0) {
    const waiter = waiterAt(number);
    rewindArena(mark);
    if (actFor(waiter.stream)) {
      steer(entry, confirmed, waiter.endOfStream, time);
      if (!resume(streamType)) bump(ERRORS);
    }
    const next = waiter.next;
    waiter.next = freeWaiter;
    freeWaiter = number;
    number = next;
  }
}
