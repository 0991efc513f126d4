/* The memory in which members of one host meet: bells, slots, rooms. */
#include "silicon/coll/inside.h"

#include "base/num.h"

int64_t tr_area_bytes(int members, int64_t room_bytes)
{
    int64_t pairs = (int64_t)members * members * TR_PORT_COUNT;
    int64_t bells = (int64_t)members * TR_PORT_COUNT * (int64_t)sizeof(struct tr_bell);
    return tr_round_up((int64_t)sizeof(struct tr_area), TR_CACHE_LINE) + bells +
           pairs * TR_SLOTS * ((int64_t)sizeof(struct tr_slot) + room_bytes);
}

void tr_area_init(struct tr_area *area, int members, int64_t room_bytes)
{
    int64_t pairs = (int64_t)members * members * TR_PORT_COUNT;
    area->members = members;
    area->room_bytes = room_bytes;
    area->bytes = tr_area_bytes(members, room_bytes);
    area->bells_at = tr_round_up((int64_t)sizeof *area, TR_CACHE_LINE);
    area->slots_at = area->bells_at + (int64_t)members * TR_PORT_COUNT * (int64_t)sizeof(struct tr_bell);
    area->rooms_at = area->slots_at + pairs * TR_SLOTS * (int64_t)sizeof(struct tr_slot);
    atomic_store_explicit(&area->users, members, memory_order_release);
}

struct tr_bell *tr_area_bell(struct tr_area *area, int member, enum tr_port_kind port)
{
    return (struct tr_bell *)((char *)area + area->bells_at) + member * TR_PORT_COUNT + port;
}

struct tr_slot *tr_area_channel(struct tr_area *area, enum tr_port_kind port, int from, int to)
{
    int64_t channel = ((int64_t)port * area->members + from) * area->members + to;
    return (struct tr_slot *)((char *)area + area->slots_at) + channel * TR_SLOTS;
}

char *tr_area_room(struct tr_area *area, const struct tr_slot *slot)
{
    int64_t index = slot - (const struct tr_slot *)((char *)area + area->slots_at);
    return (char *)area + area->rooms_at + index * area->room_bytes;
}
