// A queue of BullMQ with two workers and its normal settings: 100 jobs, some later, some of higher priority, some that fail first, a
// job with children, and events. Prints one line for each part that works; anything else is a failure.
// bullmq_jobs.js HOST:PORT, or the path of a socket; NODE_PATH has bullmq.
'use strict';
const assert = require('node:assert');
const { FlowProducer, Queue, QueueEvents, Worker } = require('bullmq');

const [place] = process.argv.slice(2);
const [host, port] = place.split(':');
const connection = place.startsWith('/') ? { path: place } : { host, port: Number(port) };
connection.maxRetriesPerRequest = null;

async function main() {
  const queue = new Queue('work', { connection });
  queue.setMaxListeners(0);
  const events = new QueueEvents('work', { connection });
  await events.waitUntilReady();
  const order = [];
  const work = async (job) => {
    order.push(job.name);
    if (job.name === 'flaky' && job.attemptsMade === 0) throw new Error('not yet');
    if (job.name === 'parent') return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
    return job.data.n * job.data.n;
  };
  const workers = [1, 2].map(() => new Worker('work', work, { connection, concurrency: 5 }));
  for (const worker of workers) await worker.waitUntilReady();
  const failures = [];
  for (const worker of workers) worker.on('error', (error) => failures.push(error));
  console.log('ready');

  const numbers = [...Array(90).keys()];
  const jobs = await queue.addBulk(numbers.map((n) => ({ name: 'square', data: { n } })));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 60000)));
  assert.deepStrictEqual(results, numbers.map((n) => n * n));
  console.log('jobs');

  const later = await queue.add('square', { n: 11 }, { delay: 300 });
  assert.strictEqual(await later.getState(), 'delayed');
  assert.strictEqual(await later.waitUntilFinished(events, 60000), 121);
  console.log('later');

  const flaky = await queue.add('flaky', { n: 3 }, { attempts: 3, backoff: { type: 'fixed', delay: 50 } });
  assert.strictEqual(await flaky.waitUntilFinished(events, 60000), 9);
  console.log('again');

  const flow = new FlowProducer({ connection });
  const children = [1, 2, 3].map((n) => ({ name: 'square', queueName: 'work', data: { n } }));
  const tree = await flow.add({ name: 'parent', queueName: 'work', data: {}, children });
  assert.strictEqual(await tree.job.waitUntilFinished(events, 60000), 14);
  console.log('children');

  // One alone, as two take jobs at the same moment.
  await workers.pop().close();
  await queue.pause();
  order.length = 0;
  await queue.add('last', { n: 1 }, { priority: 10 });
  const urgent = await queue.add('first', { n: 1 }, { priority: 1 });
  const last = await queue.add('third', { n: 2 }, { priority: 20 });
  await queue.resume();
  await Promise.all([urgent, last].map((job) => job.waitUntilFinished(events, 60000)));
  assert.strictEqual(order[0], 'first');
  console.log('priority');

  const repeated = await queue.upsertJobScheduler('tick', { every: 100, limit: 2 }, { name: 'tick', data: { n: 4 } });
  assert.strictEqual(await repeated.waitUntilFinished(events, 60000), 16);
  await queue.removeJobScheduler('tick');
  console.log('scheduler');

  const counts = await queue.getJobCounts('completed', 'failed', 'waiting', 'active');
  assert.ok(counts.completed >= 99 && counts.failed === 0 && counts.active === 0, JSON.stringify(counts));
  assert.deepStrictEqual(failures, []);
  for (const part of [...workers, events, flow]) await part.close();
  await queue.obliterate({ force: true });
  await queue.close();
  console.log('end');
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });
