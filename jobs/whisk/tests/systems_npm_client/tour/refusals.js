// What is refused, as the client tells it; and the client's routes, which are web actions of the system's namespace.
'use strict'

const assert = require('node:assert/strict')
const openwhisk = require('openwhisk')
const { ECHO, echo, refused } = require('./common')

module.exports = async ({ url, mine, guest, system, stranger }, step) => {
  await step('who has no key: 401', async () => {
    for (const call of [
      () => stranger.actions.list(),
      () => stranger.actions.create(echo('x')),
      () => stranger.triggers.invoke('x'),
      () => stranger.activations.list()
    ]) {
      const told = await refused(call(), 401)
      assert.match(told.message, /authentication/)
    }
  })

  await step('what is not there: 404', async () => {
    const calls = [
      () => mine.actions.get('nothing'),
      () => mine.actions.invoke('nothing'),
      () => mine.actions.delete('nothing'),
      () => mine.packages.get('nothing'),
      () => mine.triggers.get('nothing'),
      () => mine.rules.get('nothing'),
      () => mine.rules.enable({ name: 'nothing' })
    ]
    for (const call of calls) {
      const told = await refused(call(), 404)
      assert.match(told.message, /does not exist/)
      assert.equal(typeof told.error.code, 'string', 'the transaction, to ask the operators with')
    }
  })

  await step('what is there: 409', async () => {
    await mine.actions.create(echo('there'))
    const told = await refused(mine.actions.create(echo('there')), 409)
    assert.match(told.message, /resource already exists/)
  })

  await step('what is another namespace: 403', async () => {
    await refused(guest.actions.get('/tour/there'), 403)
    await refused(guest.actions.create(echo('/tour/mine-now')), 403)
    await refused(openwhisk({ ...guestOptions(guest), namespace: 'tour' }).actions.list(), 403)
  })

  await step('what is wrong: 400', async () => {
    const told = await refused(mine.actions.create({ name: 'x', action: ECHO, kind: 'cobol:1' }), 400)
    assert.match(told.message, /cobol:1/)
    await refused(mine.actions.create(echo('x', { limits: { memory: 1 } })), 400)
    await refused(mine.actions.list({ limit: 201 }), 400)
    await refused(mine.actions.create({ name: 'x', sequence: ['/_/nothing'] }), 400)
  })

  await step('what is too large: 413', async () => {
    const told = await refused(mine.actions.invoke({ name: 'there', params: { a: 'x'.repeat(1024 * 1024) } }), 413)
    assert.match(told.message, /larger than allowed/)
  })

  await step('a kind that the client takes when none is given', async () => {
    const told = await refused(mine.actions.create({ name: 'x', action: 'function main () {}' }), 400)
    assert.match(told.message, /nodejs:default/)
  })

  await step('routes', async () => {
    // Without a gateway for APIs the real server has no such actions either.
    await refused(mine.routes.list(), 404)
    await system.packages.create({ name: 'apimgmt' })
    for (const name of ['getApi', 'createApi', 'deleteApi']) {
      await system.actions.create({
        name: `apimgmt/${name}`,
        action: "#!/bin/sh\nwhile read -r line; do printf '{\"statusCode\":200,\"body\":%s}\\n' \"$line\" >&3; done\n",
        kind: 'native:default',
        annotations: { 'web-export': true }
      })
    }
    const made = await mine.routes.create({ action: 'there', basepath: '/cars', relpath: '/list', operation: 'GET' })
    assert.equal(made.value.apidoc.gatewayBasePath, '/cars')
    assert.equal(made.value.apidoc.action.backendUrl, `${url}/api/v1/web/_/default/there.http`)
    const found = await mine.routes.get({ basepath: '/cars' })
    assert.equal(found.value.basepath, '/cars')
    assert.equal(found.value.__ow_method, 'get')
    const gone = await mine.routes.delete({ basepath: '/cars' })
    assert.equal(gone.value.__ow_method, 'delete')
  })

  await mine.actions.delete('there')
  const left = await mine.namespaces.get('tour')
  assert.deepEqual(left, { actions: [], packages: [], triggers: [], rules: [] }, 'the tour leaves nothing behind')
}

// How a client was made, to make one like it.
const guestOptions = client => ({ api: client.actions.client.options.api, api_key: client.actions.client.options.apiKey })
