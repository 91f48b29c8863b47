// Triggers and rules: what a fire starts, and what it does not while a rule is off.
'use strict'

const assert = require('node:assert/strict')
const { echo, refused, eventually, record, valueOf, names } = require('./common')

module.exports = async ({ mine }, step) => {
  const since = Date.now()
  // The activations of an action, of this part of the tour.
  const runs = name => mine.activations.list({ name, since, docs: true })

  await step('create', async () => {
    const made = await mine.triggers.create({
      name: 'alarm',
      trigger: { parameters: [{ key: 'level', value: 'low' }] },
      annotations: { description: 'an alarm' }
    })
    assert.equal(made.name, 'alarm')
    assert.equal(made.namespace, 'tour')
    assert.equal(made.version, '0.0.1')
    assert.equal(valueOf(made.annotations, 'description'), 'an alarm')
    await refused(mine.triggers.create({ name: 'alarm' }), 409)
  })

  await step('update, get, list', async () => {
    const changed = await mine.triggers.update({ name: 'alarm', trigger: { parameters: [{ key: 'level', value: 'high' }] } })
    assert.equal(changed.version, '0.0.2')
    const found = await mine.triggers.get('alarm')
    assert.deepEqual(found.parameters, [{ key: 'level', value: 'high' }])
    assert.deepEqual(names(await mine.triggers.list()), ['alarm'])
    assert.deepEqual(await mine.triggers.list({ count: true }), { triggers: 1 })
  })

  await step('fire without a rule', async () => {
    const answer = await mine.triggers.invoke({ name: 'alarm' })
    assert.ok(!answer || answer.activationId === undefined, JSON.stringify(answer))
  })

  await step('a rule', async () => {
    await mine.actions.create(echo('react', { params: { by: 'react' } }))
    const made = await mine.rules.create({ name: 'link', action: 'react', trigger: 'alarm' })
    assert.equal(made.name, 'link')
    assert.deepEqual(made.trigger, { name: 'alarm', path: 'tour' })
    assert.deepEqual(made.action, { name: 'react', path: 'tour' })
    assert.equal((await mine.rules.get('link')).status, 'active')
    assert.deepEqual(names(await mine.rules.list()), ['link'])
    assert.deepEqual(await mine.rules.list({ count: true }), { rules: 1 })
    await refused(mine.rules.create({ name: 'link', action: 'react', trigger: 'alarm' }), 409)
    const { rules } = await mine.triggers.get('alarm')
    assert.equal(rules['tour/link'].status, 'active')
  })

  await step('fire', async () => {
    const { activationId } = await mine.triggers.invoke({ name: 'alarm', params: { car: 'c1' } })
    const fired = await record(mine, activationId)
    assert.equal(fired.name, 'alarm')
    const told = JSON.parse(fired.logs[0])
    assert.equal(told.success, true)
    assert.equal(told.rule, 'tour/link')
    assert.equal(told.action, 'tour/react')
    const ran = await record(mine, told.activationId)
    const { value } = ran.response.result
    assert.deepEqual([value.by, value.level, value.car], ['react', 'high', 'c1'])
  })

  await step('disable', async () => {
    await mine.rules.disable({ name: 'link' })
    assert.equal((await mine.rules.get('link')).status, 'inactive')
    const before = (await runs('react')).length
    const answer = await mine.triggers.invoke({ name: 'alarm' })
    assert.ok(!answer || answer.activationId === undefined, 'no rule is active')
    assert.equal((await runs('react')).length, before)
  })

  await step('enable', async () => {
    await mine.rules.enable({ name: 'link' })
    assert.equal((await mine.rules.get('link')).status, 'active')
    await mine.triggers.invoke({ name: 'alarm', params: { again: true } })
    await eventually('the action of the rule', async () =>
      (await runs('react')).find(one => one.response.result.value.again === true))
  })

  await step('a rule changed', async () => {
    await mine.actions.create(echo('other'))
    const changed = await mine.rules.update({ name: 'link', action: '/_/other', trigger: '/tour/alarm' })
    assert.equal(changed.action.name, 'other')
    assert.equal(changed.version, '0.0.2')
    await mine.triggers.invoke('alarm')
    await eventually('the other action', async () => (await runs('other')).length === 1)
    await refused(mine.rules.update({ name: 'link', action: 'nothing', trigger: 'alarm' }), 400)
    await refused(mine.rules.create({ name: 'loose', action: 'other', trigger: 'nothing' }), 400)
  })

  await step('delete', async () => {
    assert.equal((await mine.rules.delete('link')).name, 'link')
    await refused(mine.rules.get('link'), 404)
    assert.equal((await mine.triggers.delete({ triggerName: 'alarm' })).name, 'alarm')
    await refused(mine.triggers.invoke('alarm'), 404)
    await mine.actions.delete(['react', 'other'])
  })
}
