// Uniswap's SDK on the workload that stdin describes; argv[2] is the node_modules folder it was installed into.
const path = require('path')
const from = (name) => require(path.join(process.argv[2], name))
const { Token, CurrencyAmount } = from('@uniswap/sdk-core')
const { Pool, TickListDataProvider } = from('@uniswap/v3-sdk')
const JSBI = from('jsbi')

async function main(text) {
  const question = JSON.parse(text)
  const token = (digit) => new Token(1, '0x' + digit.repeat(40), 18)
  const [token0, token1] = [token('1'), token('2')]
  const ticks = question.ticks.map(([index, liquidityGross, liquidityNet]) => ({ index, liquidityGross, liquidityNet }))
  const provider = new TickListDataProvider(ticks, 60)
  let pool = new Pool(token0, token1, question.fee, question.sqrtPrice, question.liquidity, question.tick, provider)
  const outcomes = []
  const begin = process.cpuUsage()
  for (const [zeroForOne, amountSpecified] of question.swaps) {
    const amount = JSBI.BigInt(amountSpecified)
    if (JSBI.greaterThan(amount, JSBI.BigInt(0))) {
      const paid = CurrencyAmount.fromRawAmount(zeroForOne ? token0 : token1, amount)
      const [received, next] = await pool.getOutputAmount(paid)
      outcomes.push([zeroForOne, paid.quotient, received.quotient])
      pool = next
    } else {
      const received = CurrencyAmount.fromRawAmount(zeroForOne ? token1 : token0, JSBI.unaryMinus(amount))
      const [paid, next] = await pool.getInputAmount(received)
      outcomes.push([zeroForOne, paid.quotient, received.quotient])
      pool = next
    }
  }
  const used = process.cpuUsage(begin)
  const seconds = (used.user + used.system) / 1e6
  const amounts = outcomes.map(([zeroForOne, paid, received]) =>
    zeroForOne ? [String(paid), '-' + received] : ['-' + received, String(paid)])
  const end = { sqrtPrice: String(pool.sqrtRatioX96), tick: pool.tickCurrent, liquidity: String(pool.liquidity) }
  process.stdout.write(JSON.stringify({ amounts, seconds, ...end }))
}

let text = ''
process.stdin.on('data', (chunk) => { text += chunk })
process.stdin.on('end', () => main(text).catch((error) => { process.stderr.write(String(error.stack)); process.exit(1) }))
