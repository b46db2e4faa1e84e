"""temp"""
from aiohttp import web
import asyncio
class Site:
    def __init__(self, settings, policy, metrics, health):
        self.s=settings; self.h=health; self.m=metrics
    async def run(self):
        a=web.Application()
        async def ready(r):
            h=self.h(); return web.json_response({'r':h.reasons},status=200 if h.ready else 503)
        async def alive(r):
            h=self.h(); return web.json_response({'r':h.reasons},status=200 if h.alive else 503)
        a.router.add_get('/readyz',ready); a.router.add_get('/healthz',alive)
        runner=web.AppRunner(a); await runner.setup()
        await web.TCPSite(runner,self.s.host,self.s.port).start()
        try: await asyncio.Event().wait()
        finally: await runner.cleanup()
