// What the steps share: programs for actions, and how to wait for records.
'use strict'

const assert = require('node:assert/strict')

// Answers with the whole line that it was given, so that a step sees what an action is told: `value` is its input.
const ECHO = `#!/bin/sh
while read -r line; do
  echo "heard"
  case $line in
    *'"fail":true'*) echo '{"error":"told to fail"}' >&3 ;;
    *'"exit":true'*) exit 3 ;;
    *'"sleep":true'*) sleep 2; echo '{"slept":true}' >&3 ;;
    *) printf '%s\\n' "$line" >&3 ;;
  esac
done
`

// An action as a step makes it.
const echo = (name, more = {}) => ({ name, action: ECHO, kind: 'native:default', ...more })

// The refusal of a call that must not succeed.
async function refused (call, status) {
  let answer
  try {
    answer = await call
  } catch (error) {
    assert.equal(error.name, 'OpenWhiskError', String(error.stack))
    assert.equal(error.statusCode, status, error.message)
    return error
  }
  assert.fail(`answered ${JSON.stringify(answer)} instead of ${status}`)
}

// Asks again until the answer is there, for ten seconds: records of what nobody waited for come a little later.
async function eventually (what, ask) {
  const end = Date.now() + 10_000
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    assert.ok(Date.now() < end, `${what} never came`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

// The record of an activation that may still be under way.
const record = (client, id) => eventually(`activation ${id}`, async () => {
  try {
    return await client.activations.get(id)
  } catch (error) {
    if (error.statusCode === 404) return undefined
    throw error
  }
})

// The value of a parameter or an annotation.
const valueOf = (list, key) => (list.find(entry => entry.key === key) || {}).value

// The names of entities.
const names = list => list.map(entity => entity.name).sort()

module.exports = { ECHO, echo, refused, eventually, record, valueOf, names }
