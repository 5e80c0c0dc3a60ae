// A quoting SDK on the question that stdin asks: argv[2] is its node_modules folder, argv[3] the SDK's package.
const path = require('path')
const [, , modules, name] = process.argv
const from = (wanted) => require(path.join(modules, wanted))
const sdk = from(name)
const isUniswap = name === '@uniswap/v3-sdk'
const { Token, CurrencyAmount } = from(isUniswap ? '@uniswap/sdk-core' : '@pancakeswap/sdk')
const whole = isUniswap ? from('jsbi').BigInt : BigInt
const question = JSON.parse(require('fs').readFileSync(0, 'utf8'))
sdk.TICK_SPACINGS[question.fee] = question.spacing
const [token0, token1] = ['1', '2'].map((digit) => new Token(1, '0x' + digit.repeat(40), 18, 'T' + digit, 'token'))

function add(ticks, index, gross, net) {
  const [oldGross, oldNet] = ticks.get(index) ?? [0n, 0n]
  if (oldGross + gross === 0n) ticks.delete(index)
  else ticks.set(index, [oldGross + gross, oldNet + net])
}

function provider(ticks) {
  const list = [...ticks].map(([index, [gross, net]]) =>
    ({ index, liquidityGross: gross.toString(), liquidityNet: net.toString() }))
  return new sdk.TickListDataProvider(list.sort((a, b) => a.index - b.index), question.spacing)
}

async function run() {
  const ticks = new Map(question.ticks.map(([index, gross, net]) => [index, [BigInt(gross), BigInt(net)]]))
  const pool = (price, liquidity, tick) =>
    new sdk.Pool(token0, token1, question.fee, price, liquidity, tick, provider(ticks))
  let now = pool(question.sqrtPrice, question.liquidity, question.tick)
  const amounts = []
  const begin = process.cpuUsage()
  for (const [kind, first, second, third] of question.events) {
    if (kind === 'liquidity') {
      add(ticks, first, BigInt(third), BigInt(third))
      add(ticks, second, BigInt(third), -BigInt(third))
      const isInside = first <= now.tickCurrent && now.tickCurrent < second
      const liquidity = BigInt(now.liquidity.toString()) + (isInside ? BigInt(third) : 0n)
      now = pool(now.sqrtRatioX96.toString(), liquidity.toString(), now.tickCurrent)
      continue
    }
    const limit = third === null ? undefined : whole(third)
    const isExactIn = second[0] !== '-'
    const side = first === isExactIn ? token0 : token1
    const asked = CurrencyAmount.fromRawAmount(side, isExactIn ? second : second.slice(1))
    const [answer, next] = await (isExactIn ? now.getOutputAmount(asked, limit) : now.getInputAmount(asked, limit))
    const calculated = (isExactIn ? '-' : '') + answer.quotient.toString()
    amounts.push(side === token0 ? [null, calculated] : [calculated, null]) // it does not say how much was used
    now = next
  }
  const used = process.cpuUsage(begin)
  const end = [now.sqrtRatioX96.toString(), String(now.tickCurrent), now.liquidity.toString()]
  return { amounts, end, seconds: (used.user + used.system) / 1e6 }
}

async function main() {
  const runs = []
  for (let i = 0; i < question.repeats; i++) runs.push(await run()) // the first warms the compiler up
  process.stdout.write(JSON.stringify(runs.reduce((a, b) => (a.seconds < b.seconds ? a : b))))
}
main()
