// Records: listed in every way, one read whole, its log, its result.
'use strict'

const assert = require('node:assert/strict')
const { echo, refused, record } = require('./common')

module.exports = async ({ mine, guest }, step) => {
  await mine.actions.create(echo('noted'))
  const since = Date.now()
  const ids = []
  for (let number = 0; number < 3; number++) {
    const { activationId } = await mine.actions.invoke({ name: 'noted', blocking: true, params: { number } })
    ids.push(activationId)
  }
  const newest = [...ids].reverse()

  await step('list', async () => {
    const found = await mine.activations.list({ since })
    assert.deepEqual(found.map(one => one.activationId), newest, 'the newest first')
    assert.equal(found[0].response, undefined, 'a list is short')
    assert.equal(found[0].statusCode, 0)
    assert.deepEqual((await mine.activations.list({ since, limit: 2 })).map(one => one.activationId), newest.slice(0, 2))
    assert.deepEqual((await mine.activations.list({ since, limit: 2, skip: 2 })).map(one => one.activationId), newest.slice(2))
    assert.deepEqual(await mine.activations.list({ since, count: true }), { activations: 3 })
    assert.equal((await mine.activations.list({ name: 'noted', since })).length, 3)
    assert.deepEqual(await mine.activations.list({ name: 'nothing', since }), [])
    assert.equal((await mine.activations.list({ since, upto: since - 1 })).length, 0)
    const whole = await mine.activations.list({ since, docs: true })
    assert.deepEqual(whole.map(one => one.response.result.value.number), [2, 1, 0])
  })

  await step('get', async () => {
    const kept = await record(mine, ids[0])
    assert.equal(kept.activationId, ids[0])
    assert.equal(kept.subject, 'tour')
    assert.equal(kept.namespace, 'tour')
    assert.equal(kept.name, 'noted')
    assert.ok(kept.start >= since - 1 && kept.end >= kept.start && kept.duration >= 0)
    assert.deepEqual(kept.response.result.value, { number: 0 })
    assert.equal((await mine.activations.get({ activationId: ids[0] })).activationId, ids[0])
  })

  await step('logs', async () => {
    const { logs } = await mine.activations.logs({ activation: ids[0] })
    assert.equal(logs.length, 1)
    assert.match(logs[0], /^\d{4}-\d\d-\d\dT[\d:.]+Z stdout: heard$/)
  })

  await step('result', async () => {
    const told = await mine.activations.result({ name: ids[1] })
    assert.equal(told.success, true)
    assert.deepEqual(told.result.value, { number: 1 })
  })

  await step('nobody else sees them', async () => {
    await refused(guest.activations.get(ids[0]), 404)
    await refused(mine.activations.get('0'.repeat(32)), 404)
    assert.deepEqual(await guest.activations.list({ since }), [])
  })
  await mine.actions.delete('noted')
}
