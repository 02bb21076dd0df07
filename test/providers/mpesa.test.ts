import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mpesa } from '../../src/providers/mpesa.ts';
import { credentialDefault, sampleBody } from '../../src/providers/provider.ts';

const certificate = mpesa.credentials.find(({ name }) => name === 'certificate')!;

describe('the default certificate of mpesa', () => {
  it.each([
    ['sandbox', 'apicrypt.safaricom.co.ke', 'a542c3c67b598a337a1cc741e5434c70de565081e5c853e05a51c843764766f0'],
    [
      'production',
      'apigee.apicaller.safaricom.co.ke',
      '9417915212ac708d3ac82b710e71d976fa0eb783f467b159c15ad7216ef2c16b',
    ],
  ] as const)('of %s is that of %s, by its fingerprint', (environment, name, fingerprint) => {
    const { fingerprint256, subject } = new X509Certificate(credentialDefault(certificate, environment)!);
    expect(fingerprint256.replaceAll(':', '').toLowerCase()).toBe(fingerprint);
    expect(subject).toContain(`CN=${name}`);
  });
});

describe('the sample call of mpesa', () => {
  it('has Password and Timestamp only where no rule fills them in', () => {
    const { samples, sign = [] } = mpesa;
    expect(sampleBody({ samples, sign })).toEqual(samples.call.json);
    const initiatorOnly = sign.filter(({ when }) => when === 'initiator_password');
    for (const rules of [[], initiatorOnly]) {
      expect(sampleBody({ samples, sign: rules })).toEqual({ ...samples.call.json, ...samples.call.unsigned });
    }
    expect(Object.keys(samples.call.unsigned ?? {}).sort()).toEqual(['Password', 'Timestamp']);
  });
});
