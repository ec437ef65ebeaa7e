import { expect, test } from 'vitest'
import { prepareSaslPassword, ScramExchange } from './scram.ts'

const nonce = 'rOprNGfwEbeRWgbNEkqO'
const serverFirst =
  'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'

function exchange(password = 'pencil'): ScramExchange {
  return new ScramExchange({ user: 'user', password, nonce, channelBinding: { kind: 'none' } })
}

test('ScramExchange gives the messages of RFC 7677 §3 and accepts its server', async () => {
  const scram = exchange()
  expect(scram.clientFirst).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO')
  expect(await scram.clientFinal(serverFirst)).toBe(
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  )
  scram.verify('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
})

test.each([
  ['a wrong signature', 'v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='],
  ['no signature', ''],
  ['an error', 'e=invalid-proof'],
])('ScramExchange refuses a server with %s', async (_name, serverFinal) => {
  const scram = exchange()
  await scram.clientFinal(serverFirst)
  expect(() => scram.verify(serverFinal)).toThrow(
    expect.objectContaining({ code: 'SOURCE_AUTHENTICATION_FAILED' }),
  )
})

test.each([
  ['a foreign nonce', 'r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'],
  ['our nonce and nothing more', `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
  ['no salt', `r=${nonce}x,i=4096`],
  ['no iterations', `r=${nonce}x,s=AAAA,i=0`],
  ['endless iterations', `r=${nonce}x,s=AAAA,i=2000000000`],
  ['nothing', ''],
])('ScramExchange refuses a server that sends %s', async (_name, text) => {
  await expect(exchange().clientFinal(text)).rejects.toMatchObject({
    code: 'SOURCE_AUTHENTICATION_FAILED',
  })
})

test('ScramExchange binds the channel when it can', async () => {
  const data = Buffer.from([1, 2, 3])
  const scram = new ScramExchange({
    password: 'pencil',
    nonce,
    channelBinding: { kind: 'server-end-point', data },
  })
  expect(scram.clientFirst).toBe(`p=tls-server-end-point,,n=,r=${nonce}`)
  const c = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), data]).toString('base64')
  expect((await scram.clientFinal(serverFirst)).startsWith(`c=${c},`)).toBe(true)
})

test.each([
  ['I\u00adX', 'IX'],
  ['user', 'user'],
  ['USER', 'USER'],
  ['\u00aa', 'a'],
  ['\u2168', 'IX'],
  // Forbidden by RFC 4013: used as they are.
  ['p\u0007w', 'p\u0007w'],
  ['\ud800', '\ud800'],
])('prepareSaslPassword(%j) follows RFC 4013 §3', (password, expected) => {
  expect(prepareSaslPassword(password)).toBe(expected)
})
