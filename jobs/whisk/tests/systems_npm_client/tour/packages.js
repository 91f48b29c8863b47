// Namespaces; packages with actions and feeds in them, bound in the same and in another namespace.
'use strict'

const assert = require('node:assert/strict')
const { echo, refused, valueOf, names } = require('./common')

module.exports = async ({ mine, guest, key }, step) => {
  await step('namespaces', async () => {
    assert.deepEqual(await mine.namespaces.list(), ['tour'])
    assert.deepEqual(await guest.namespaces.list(), ['guest'])
    assert.deepEqual(await mine.namespaces.get('tour'), { actions: [], packages: [], triggers: [], rules: [] })
  })

  await step('create', async () => {
    const made = await mine.packages.create({
      name: 'tools',
      package: { parameters: [{ key: 'unit', value: 'km' }, { key: 'zone', value: 'all' }], publish: true },
      annotations: { description: 'tools of the tour' }
    })
    assert.equal(made.name, 'tools')
    assert.equal(made.namespace, 'tour')
    assert.equal(made.version, '0.0.1')
    assert.equal(valueOf(made.annotations, 'description'), 'tools of the tour')
    await refused(mine.packages.create('tools'), 409)
  })

  await step('actions in it', async () => {
    const made = await mine.actions.create(echo('tools/echo', { params: { zone: 'north' } }))
    assert.equal(made.namespace, 'tour/tools')
    assert.equal(made.name, 'echo')
    await mine.actions.create(echo('tools/changes', { annotations: { feed: true } }))
    const heard = await mine.actions.invoke({ name: 'tools/echo', blocking: true, result: true, params: { a: 1 } })
    assert.deepEqual(heard.value, { unit: 'km', zone: 'north', a: 1 })
    assert.equal(heard.action_name, '/tour/tools/echo')
  })

  await step('get', async () => {
    const found = await mine.packages.get('tools')
    assert.deepEqual(names(found.actions), ['echo'])
    assert.deepEqual(names(found.feeds), ['changes'])
    assert.equal(valueOf(found.parameters, 'unit'), 'km')
  })

  await step('update', async () => {
    const changed = await mine.packages.update({ name: 'tools', package: { parameters: [{ key: 'unit', value: 'mile' }] } })
    assert.equal(changed.version, '0.0.2')
    assert.equal(changed.publish, true, 'what is not given is kept')
    const heard = await mine.actions.invoke({ name: 'tools/echo', blocking: true, result: true })
    assert.deepEqual(heard.value, { unit: 'mile', zone: 'north' })
  })

  await step('bind', async () => {
    const bound = await mine.packages.create({
      name: 'bound',
      package: { binding: { namespace: '_', name: 'tools' }, parameters: [{ key: 'unit', value: 'metre' }] }
    })
    assert.deepEqual(bound.binding, { namespace: 'tour', name: 'tools' })
    const heard = await mine.actions.invoke({ name: 'bound/echo', blocking: true, result: true })
    assert.deepEqual(heard.value, { unit: 'metre', zone: 'north' })
    const found = await mine.packages.get('bound')
    assert.deepEqual(names(found.actions), ['echo'])
  })

  await step('bind what another namespace publishes', async () => {
    await guest.packages.create({ name: 'theirs', package: { binding: { namespace: 'tour', name: 'tools' } } })
    const heard = await guest.actions.invoke({ name: 'theirs/echo', blocking: true, result: true, params: { by: 'guest' } })
    assert.deepEqual(heard.value, { unit: 'mile', zone: 'north', by: 'guest' })
    await refused(guest.actions.update(echo('theirs/echo')), 400)
    await guest.packages.delete('theirs')
    await mine.packages.update({ name: 'tools', package: { publish: false } })
    await refused(guest.packages.create({ name: 'theirs', package: { binding: { namespace: 'tour', name: 'tools' } } }), 403)
  })

  await step('list', async () => {
    assert.deepEqual(names(await mine.packages.list()), ['bound', 'tools'])
    assert.deepEqual(await mine.packages.list({ count: true }), { packages: 2 })
    assert.equal((await mine.packages.list({ limit: 1, skip: 1 })).length, 1)
    const { packages, actions } = await mine.namespaces.get('tour')
    assert.deepEqual(names(packages), ['bound', 'tools'])
    assert.deepEqual(names(actions), ['changes', 'echo'])
  })

  await step('feeds', async () => {
    await mine.triggers.create({ name: 'changed' })
    const calls = { CREATE: 'create', READ: 'get', UPDATE: 'update', DELETE: 'delete' }
    for (const [event, method] of Object.entries(calls)) {
      const answer = await mine.feeds[method]({ feedName: 'tools/changes', trigger: 'changed', params: { table: 'cars' } })
      const { value } = answer.response.result
      assert.equal(value.lifecycleEvent, event)
      assert.equal(value.triggerName, '/_/changed')
      assert.equal(value.authKey, key)
      assert.equal(value.table, 'cars')
    }
    await refused(mine.feeds.create({ feedName: 'tools/nothing', trigger: 'changed' }), 404)
    await mine.triggers.delete('changed')
  })

  await step('delete', async () => {
    await mine.packages.delete('bound')
    const told = await refused(mine.packages.delete('tools'), 409)
    assert.match(told.message, /Package not empty/)
    await mine.actions.delete(['tools/echo', 'tools/changes'])
    assert.equal((await mine.packages.delete('tools')).name, 'tools')
    assert.deepEqual(await mine.packages.list(), [])
  })
}
