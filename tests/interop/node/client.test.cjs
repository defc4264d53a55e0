// A Node client made from nothing but the published protos.
'use strict';
const assert = require('node:assert');
const path = require('node:path');
const { test, after } = require('node:test');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const definition = loader.loadSync(
  ['inference_service', 'session_service', 'model_service'].map((name) => `gruserve/v1/${name}.proto`),
  { includeDirs: [path.resolve(process.env.GRUSERVE_PROTOS)], longs: Number, oneofs: true, defaults: true });
const { v1 } = grpc.loadPackageDefinition(definition).gruserve;
const client = new v1.InferenceService(process.env.GRUSERVE_ADDRESS, grpc.credentials.createInsecure());
after(() => client.close());

const INPUT = 3;
const model = { name: 'gru' };

function floats(count, seed) {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i += 1) values[i] = Math.sin(seed * 12.9898 + i * 78.233);
  return values;
}

function tensor(values, shape) {
  return { shape, raw: Buffer.from(values.buffer, values.byteOffset, values.byteLength) };
}

function infer(request) {
  return new Promise((resolve, reject) => {
    client.InferSequence(request, (error, response) => (error ? reject(error) : resolve(response)));
  });
}

// Sends the commands in messages of five; answers all events.
function stream(commands) {
  return new Promise((resolve, reject) => {
    const call = client.StreamSteps();
    const events = [];
    call.on('data', (response) => events.push(...response.events));
    call.on('error', reject);
    call.on('end', () => resolve(events));
    for (let i = 0; i < commands.length; i += 5) call.write({ commands: commands.slice(i, i + 5) });
    call.end();
  });
}

test('streamed steps of three sessions have the bits of whole sequences', async () => {
  const steps = 30;
  const inputs = new Map([1, 2, 3].map((session) => [session, floats(steps * INPUT, session)]));
  const commands = [...inputs.keys()].map((session) => ({ session, open: { model } }));
  for (let t = 0; t < steps; t += 1) {
    for (const [session, x] of inputs) {
      commands.push({ session, step: { input: tensor(x.slice(t * INPUT, (t + 1) * INPUT), [INPUT]) } });
    }
  }
  for (const session of inputs.keys()) commands.push({ session, close: {} });
  const events = await stream(commands);
  assert.deepStrictEqual(events.filter((event) => event.error), []);
  assert.strictEqual(events.filter((event) => event.closed).length, 3);
  for (const [session, x] of inputs) {
    const outputs = events.filter((event) => event.session === session && event.output);
    assert.deepStrictEqual(outputs.map((event) => event.output.index), [...Array(steps).keys()].map((t) => t + 1));
    const whole = await infer({ model, input: tensor(x, [steps, INPUT]) });
    assert.ok(Buffer.concat(outputs.map((event) => event.output.output.raw)).equals(whole.output.raw));
  }
});

test('an error of a session comes in-band and disturbs no other', async () => {
  const events = await stream([
    { session: 1, open: { model } },
    { session: 2, open: { model } },
    { session: 1, step: { input: tensor(floats(7, 1), [7]) } },
    { session: 2, step: { input: tensor(floats(INPUT, 2), [INPUT]) } },
  ]);
  const errors = events.filter((event) => event.error);
  assert.strictEqual(errors.length, 1);
  assert.strictEqual(errors[0].session, 1);
  assert.strictEqual(errors[0].error.code, grpc.status.INVALID_ARGUMENT);
  assert.match(errors[0].error.message, /input\.shape\[0\] is 7.*expects 3/);
  assert.strictEqual(events.filter((event) => event.output).length, 1);
});

test('InferCell answers a state of the same shape', async () => {
  const request = { model: { name: 'cell' }, input: tensor(floats(10, 3), [2, 5]), h: tensor(floats(12, 4), [2, 6]) };
  const response = await new Promise((resolve, reject) => {
    client.InferCell(request, (error, value) => (error ? reject(error) : resolve(value)));
  });
  assert.deepStrictEqual(response.h.shape, [2, 6]);
  assert.strictEqual(response.h.raw.length, 48);
});

test('a bad shape is a status with a message', async () => {
  await assert.rejects(infer({ model, input: tensor(floats(8, 5), [2, 4]) }), (error) => {
    assert.strictEqual(error.code, grpc.status.INVALID_ARGUMENT);
    assert.match(error.details, /input\.shape\[1\] is 4.*expects 3/);
    return true;
  });
});
