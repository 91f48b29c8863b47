// The tour: node tour.js URL KEY GUEST-KEY SYSTEM-KEY. Ends with 1 at the first step that goes otherwise than it should.
'use strict'

const openwhisk = require('openwhisk')

const [url, key, guestKey, systemKey] = process.argv.slice(2)
const client = apiKey => openwhisk({ apihost: url, api_key: apiKey })

const parts = ['actions', 'packages', 'triggers', 'activations', 'refusals']

async function tour () {
  const clients = {
    url,
    key,
    mine: client(key),
    guest: client(guestKey),
    system: client(systemKey),
    stranger: client('0f1e2d3c-0000-4000-8000-00000000ffff:nobody-has-this-key')
  }
  for (const part of parts) {
    let current
    const step = async (name, body) => {
      current = name
      const value = await body()
      console.log(`${part}: ${name}`)
      return value
    }
    try {
      await require(`./tour/${part}`)(clients, step)
    } catch (error) {
      console.error(`${part}: WRONG at "${current}"`)
      throw error
    }
    console.log(`${part}: done`)
  }
}

tour().catch(error => {
  console.error(error)
  if (error.error) console.error(JSON.stringify(error.error))
  process.exit(1)
})
