import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../errors.ts'
import { storePrefixCharsMax } from '../limits.ts'
import { parseStoreUrl } from './store-url.ts'

describe('a store URL', () => {
  test('of a directory', () => {
    assert.deepEqual(parseStoreUrl('file:///backup/store'), { kind: 'file', path: '/backup/store' })
    assert.deepEqual(parseStoreUrl('file:///with%20space/%3F'), { kind: 'file', path: '/with space/?' })
  })

  test('of a bucket', () => {
    assert.deepEqual(parseStoreUrl('s3://my.bucket'), {
      kind: 's3',
      bucket: 'my.bucket',
      prefix: '',
      endpoint: undefined,
      region: undefined,
      pathStyle: undefined,
      checksums: 'when_supported',
    })
    const full =
      's3://bucket/some/Pre-fix/?endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=eu-west-1&pathStyle=false&checksums=when_required'
    assert.deepEqual(parseStoreUrl(full), {
      kind: 's3',
      bucket: 'bucket',
      prefix: 'some/Pre-fix/',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-west-1',
      pathStyle: false,
      checksums: 'when_required',
    })
    assert.equal(parseStoreUrl('s3://bucket/a?endpoint=https://host/').kind, 's3')
  })

  test('of a container', () => {
    assert.deepEqual(parseStoreUrl('azure://my-container/prefix?endpoint=http://127.0.0.1:10000/account/'), {
      kind: 'azure',
      container: 'my-container',
      prefix: 'prefix/',
      endpoint: 'http://127.0.0.1:10000/account',
    })
  })

  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /it is empty/],
    ['/backup', /it is a path; a directory is given as file:\/\/\/directory/],
    ['backup', /no scheme/],
    ['http://host/bucket', /file:, s3: or azure:/],
    ['S3://bucket', /not with S3:/],
    ['file:backup', /absolute path/],
    ['file://backup/store', /third slash/],
    ['file:///backup?x=1', /no parameters/],
    ['file:///backup#x', /# in it/],
    ['file:///a%2Fb', /cannot be decoded/],
    ['file:///a%00b', /zero byte/],
    ['file:///a%zz', /cannot be decoded/],
    ['file:///ä', /not printable ASCII/],
    ['s3:bucket', /two slashes/],
    ['s3://', /bucket after s3/],
    ['s3:///prefix', /bucket after s3/],
    ['s3://Bucket', /bucket after s3/],
    ['s3://a..b', /bucket after s3/],
    ['s3://bucket//', /prefix/],
    ['s3://bucket/a//b', /prefix/],
    ['s3://bucket/../other', /prefix/],
    ['s3://bucket/./a', /prefix/],
    ['s3://bucket/a%2F..', /prefix/],
    [`s3://bucket/${'x'.repeat(storePrefixCharsMax + 1)}`, /more than 123 characters/],
    ['s3://bucket?region=', /region is empty/],
    ['s3://bucket?region=a&region=b', /region is given twice/],
    ['s3://bucket?region=a/b', /region is not a name/],
    ['s3://bucket?regoin=a', /no parameter "regoin", only endpoint, region, pathStyle, checksums/],
    ['s3://bucket?pathStyle=yes', /neither true nor false/],
    ['s3://bucket?checksums=none', /checksums/],
    ['s3://bucket?endpoint=host:9000', /neither http nor https/],
    ['s3://bucket?endpoint=ftp://host', /neither http nor https/],
    ['s3://bucket?endpoint=nothing', /not a URL/],
    ['s3://bucket?endpoint=http://host/path', /has no path/],
    ['s3://bucket?endpoint=http://host?x=1', /has parameters/],
    ['azure://container?region=x', /azure has no parameter "region"/],
    ['azure://con--tainer', /container after azure/],
    ['azure://-container', /container after azure/],
    ['azure://ab', /container after azure/],
    [`s3://bucket/${'a/'.repeat(2000)}`, /more than 2048 characters/],
  ]
  for (const [url, message] of wrong) {
    test(`is refused: ${url.slice(0, 60)}`, () => {
      assert.throws(() => parseStoreUrl(url), { code: 'E_STORE_URL', message })
    })
  }

  test('with credentials in it is refused without repeating them', () => {
    const secret = 'wJalrXUtnFEMI'
    const urls = [
      `s3://AKIA:${secret}@bucket/prefix`,
      `s3://bucket?endpoint=http://user:${secret}@host`,
      `s3://bucket?secretAccessKey=${secret}`,
      `s3://bucket?region=${secret}%2F`,
      `azure://container?sig=${secret}`,
      `azure://user:${secret}@container`,
      `s3://${secret}/prefix`,
      `file://${secret}/x`,
      `/${secret}`,
    ]
    for (const url of urls) {
      assert.throws(
        () => parseStoreUrl(url),
        (error: unknown) => {
          assert.ok(hasCode(error, 'E_STORE_URL'))
          assert.ok(!JSON.stringify(error).includes(secret) && !String(error.stack).includes(secret))
          return true
        },
      )
    }
  })

  test('whatever it is, is taken or refused with E_STORE_URL', () => {
    const scheme = fc.constantFrom('file:', 'file://', 'file:///', 's3:', 's3://', 'azure://', 'S3://', 'x:', '')
    const rest = fc.oneof(
      fc.string(),
      fc.webUrl(),
      fc.string({ unit: 'binary' }),
      fc.webQueryParameters({ size: 'small' }),
    )
    const url = fc.tuple(scheme, rest, fc.constantFrom('', '/', '?endpoint=', '?', '#'), rest)
    fc.assert(
      fc.property(url, (parts) => {
        try {
          const location = parseStoreUrl(parts.join(''))
          if (location.kind === 'file') assert.ok(location.path.startsWith('/') && !location.path.includes('\0'))
          else assert.ok(!location.prefix.split('/').includes('..'))
        } catch (error) {
          assert.ok(hasCode(error, 'E_STORE_URL'), String(error))
        }
      }),
      { numRuns: 1000 },
    )
  })
})
