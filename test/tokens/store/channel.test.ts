import { describe, expect, it } from 'vitest';
import { answerCall, ChannelStores, type StoreCall } from '../../../src/tokens/store/channel.ts';
import { MemoryStores } from '../../../src/tokens/store/memory.ts';
import { StoreUnavailable } from '../../../src/tokens/store/store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

describe('the stores of a primary, as its worker sees them', () => {
  it('answer each call, and pass on the news of a credential to those who listen for it', async () => {
    const told: [name: string, news: string][] = [];
    const stores = new MemoryStores(new ManualClock(), (name, news) => told.push([name, news]));
    const channel: ChannelStores = new ChannelStores((call) => {
      void answerCall(stores, call).then((answer) => channel.onMessage(answer));
    });
    const store = channel.storeOf('credential');
    const { fencingNumber: fencingNumber } = await store.acquire('worker 1', 1000, 41);
    expect(fencingNumber).toBe(42);
    expect(await store.save('worker 1', { generation: 42, encrypted: 'sealed', remainingMs: 1000 }, 'news')).toBe(true);
    expect(await store.read()).toMatchObject({ generation: 42, sealed: 'sealed' });
    expect(told).toEqual([['credential', 'news']]);

    const heard: string[] = [];
    store.subscribe((news) => heard.push(news));
    channel.onMessage({ kind: 'board news', name: 'another', news: 'of another' });
    channel.onMessage({ kind: 'board news', name: 'credential', news: 'news' });
    expect(heard).toEqual(['news']);
  });

  it('are down for calls under way and for every later one when the primary is gone', async () => {
    const sent: StoreCall[] = [];
    const channel = new ChannelStores((call) => sent.push(call));
    const store = channel.storeOf('credential');
    const underWay = [store.read(), store.acquire('worker 1', 1000, 0), store.release('worker 1', undefined)];
    channel.close();
    for (const call of [...underWay, store.read()]) await expect(call).rejects.toBeInstanceOf(StoreUnavailable);
    expect(sent).toHaveLength(3);
  });
});
