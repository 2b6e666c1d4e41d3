import ferrio as asyncio


async def search(place, after):
    await asyncio.sleep(after)
    return place


async def main():
    found = []
    async with asyncio.TaskGroup() as group:

        async def look(place, after):
            found.append(await search(place, after))
            group.cancel()

        group.create_task(look("the shelf", 0.01))
        group.create_task(look("the cellar", 3600))
    print("found at", *found)


asyncio.run(main())
