// Actions: made, changed, read, listed, invoked in every way, put in sequences, deleted.
'use strict'

const assert = require('node:assert/strict')
const { ECHO, echo, refused, record, valueOf, names } = require('./common')

module.exports = async ({ mine }, step) => {
  await step('create', async () => {
    const made = await mine.actions.create(echo('first', {
      params: { colour: 'red', size: 3 },
      annotations: { description: 'says what it heard' },
      limits: { timeout: 5000 }
    }))
    assert.equal(made.name, 'first')
    assert.equal(made.namespace, 'tour')
    assert.equal(made.version, '0.0.1')
    assert.equal(made.publish, false)
    assert.equal(made.exec.kind, 'native:default')
    assert.deepEqual(made.parameters, [{ key: 'colour', value: 'red' }, { key: 'size', value: 3 }])
    assert.equal(valueOf(made.annotations, 'description'), 'says what it heard')
    assert.equal(valueOf(made.annotations, 'exec'), 'native:default')
    assert.equal(made.limits.timeout, 5000)
    assert.equal(made.limits.memory, 256)
  })

  await step('create as a buffer', async () => {
    const made = await mine.actions.create(echo('buffer', { action: Buffer.from(ECHO) }))
    assert.equal(made.exec.binary, true)
    const answer = await mine.actions.invoke({ name: 'buffer', blocking: true, result: true, params: { a: 1 } })
    assert.deepEqual(answer.value, { a: 1 })
  })

  await step('create from a whole definition', async () => {
    const made = await mine.actions.create({
      name: 'whole',
      action: { exec: { kind: 'native:default', code: ECHO }, limits: { memory: 128 }, publish: true }
    })
    assert.equal(made.limits.memory, 128)
    assert.equal(made.publish, true)
  })

  await step('update', async () => {
    const changed = await mine.actions.update({ name: 'first', params: { colour: 'blue' } })
    assert.equal(changed.version, '0.0.2')
    assert.deepEqual(changed.parameters, [{ key: 'colour', value: 'blue' }])
    assert.equal(changed.exec.code, ECHO, 'what is not given is kept')
    assert.equal(changed.limits.timeout, 5000)
    assert.equal(valueOf(changed.annotations, 'description'), 'says what it heard')
    const numbered = await mine.actions.update({ name: 'first', version: '1.2.3' })
    assert.equal(numbered.version, '1.2.3')
    const annotated = await mine.actions.update({ name: 'first', annotations: { owner: 'tour' } })
    assert.equal(valueOf(annotated.annotations, 'owner'), 'tour')
    assert.equal(annotated.version, '1.2.4')
  })

  await step('get', async () => {
    const whole = await mine.actions.get('first')
    assert.equal(whole.exec.code, ECHO)
    const without = await mine.actions.get({ name: 'first', code: false })
    assert.equal(without.exec.code, undefined)
    assert.equal(without.version, '1.2.4')
    const several = await mine.actions.get(['first', '/_/buffer', '/tour/whole'])
    assert.deepEqual(names(several), ['buffer', 'first', 'whole'])
  })

  await step('list', async () => {
    const all = await mine.actions.list()
    assert.deepEqual(names(all), ['buffer', 'first', 'whole'])
    assert.ok(all.every(action => action.exec.code === undefined), 'a list has no code')
    assert.equal(all[0].name, 'first', 'what was changed last comes first')
    assert.equal((await mine.actions.list({ limit: 1 })).length, 1)
    assert.equal((await mine.actions.list({ limit: 1, skip: 1 }))[0].name, all[1].name)
    assert.deepEqual(await mine.actions.list({ count: true }), { actions: 3 })
  })

  await step('invoke without waiting', async () => {
    const { activationId } = await mine.actions.invoke({ name: 'first', params: { size: 4 } })
    assert.match(activationId, /^[0-9a-f]{32}$/)
    const kept = await record(mine, activationId)
    assert.equal(kept.response.status, 'success')
    assert.deepEqual(kept.response.result.value, { colour: 'blue', size: 4 })
    assert.equal(kept.name, 'first')
    assert.equal(kept.version, '1.2.4')
  })

  await step('invoke and wait', async () => {
    const answer = await mine.actions.invoke({ name: 'first', blocking: true, params: { colour: 'green', deep: { a: [1, null, 'ü'] } } })
    assert.equal(answer.response.success, true)
    assert.equal(answer.response.status, 'success')
    const heard = answer.response.result
    assert.deepEqual(heard.value, { colour: 'green', deep: { a: [1, null, 'ü'] } })
    assert.equal(heard.action_name, '/tour/first')
    assert.equal(heard.activation_id, answer.activationId)
    assert.equal(heard.namespace, 'tour')
    assert.ok(Number(heard.deadline) > Date.now() - 10_000)
    assert.equal(heard.api_key, undefined, 'the key is given only to those that ask for it')
  })

  await step('invoke for the result alone', async () => {
    const heard = await mine.actions.invoke({ name: 'first', blocking: true, result: true })
    assert.deepEqual(heard.value, { colour: 'blue' })
  })

  await step('invoke several', async () => {
    const started = await mine.actions.invoke(['first', 'buffer'])
    assert.equal(new Set(started.map(one => one.activationId)).size, 2)
    for (const { activationId } of started) await record(mine, activationId)
  })

  await step('invoke what fails', async () => {
    const told = await refused(mine.actions.invoke({ name: 'first', blocking: true, params: { fail: true } }), 502)
    assert.match(told.message, /told to fail/)
    assert.equal(told.error.response.status, 'application error')
    assert.equal(told.error.response.success, false)
    const broken = await refused(mine.actions.invoke({ name: 'first', blocking: true, params: { exit: true } }), 502)
    assert.equal(broken.error.response.status, 'action developer error')
    const { value } = await mine.actions.invoke({ name: 'first', blocking: true, result: true })
    assert.deepEqual(value, { colour: 'blue' }, 'the next one is well')
  })

  await step('invoke with its key', async () => {
    await mine.actions.create(echo('trusted', { annotations: { 'provide-api-key': true } }))
    const heard = await mine.actions.invoke({ name: 'trusted', blocking: true, result: true })
    assert.match(heard.api_key, /^[0-9a-f-]{36}:/)
    await mine.actions.delete('trusted')
  })

  await step('sequence', async () => {
    const made = await mine.actions.create({ name: 'both', sequence: ['/_/first', '/tour/buffer'] })
    assert.equal(made.exec.kind, 'sequence')
    assert.deepEqual(made.exec.components, ['/tour/first', '/tour/buffer'])
    const answer = await mine.actions.invoke({ name: 'both', blocking: true, params: { a: 1 } })
    const heard = answer.response.result
    assert.equal(heard.action_name, '/tour/buffer')
    assert.equal(heard.value.action_name, '/tour/first', 'the second heard what the first answered')
    assert.deepEqual(heard.value.value, { colour: 'blue', a: 1 })
    assert.equal(answer.logs.length, 2)
    const part = await record(mine, answer.logs[1])
    assert.equal(part.cause, answer.activationId)
    const told = await refused(mine.actions.invoke({ name: 'both', blocking: true, params: { fail: true } }), 502)
    assert.equal(told.error.logs.length, 1, 'it ends at the first error')
    const changed = await mine.actions.update({ name: 'both', sequence: ['/_/buffer'] })
    assert.deepEqual(changed.exec.components, ['/tour/buffer'])
  })

  await step('delete', async () => {
    const gone = await mine.actions.delete('both')
    assert.equal(gone.name, 'both')
    await refused(mine.actions.get('both'), 404)
    await mine.actions.delete(['first', { name: 'buffer' }, '/_/whole'])
    assert.deepEqual(await mine.actions.list(), [])
  })
}
