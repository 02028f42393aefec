"""The same endpoint the usual way: FastAPI, pydantic, SQLAlchemy, SQLite. `uvicorn bench.peers.usual_way:app`.

Durable and idempotent by the same natural key, with the same durability of the database. `DATABASE` names its file.
"""

from __future__ import annotations

import os
import uuid
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import UniqueConstraint, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(f"sqlite:///{os.environ['DATABASE']}")
sessions = sessionmaker(engine)
app = FastAPI()


@event.listens_for(engine, "connect")
def make_durable(connection, _record) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "readings"
    __table_args__ = (UniqueConstraint("organization_id", "unit_id", "device_id", "recorded_at"),)
    id: Mapped[str] = mapped_column(primary_key=True)
    organization_id: Mapped[str]
    unit_id: Mapped[str]
    device_id: Mapped[str] = mapped_column(default="")
    recorded_at: Mapped[datetime]
    temperature: Mapped[float | None]
    humidity: Mapped[float | None]
    battery: Mapped[int | None]
    signal_strength: Mapped[int | None]


class Reading(BaseModel):
    unitId: str = Field(min_length=1, max_length=128)  # noqa: N815 as it is sent
    deviceId: str = ""  # noqa: N815
    recordedAt: datetime  # noqa: N815
    temperature: float | None = Field(None, ge=-273.15, le=10_000)
    humidity: float | None = Field(None, ge=0, le=100)
    battery: int | None = Field(None, ge=0, le=100)
    signalStrength: int | None = Field(None, ge=-200, le=50)  # noqa: N815


class Body(BaseModel):
    readings: list[Reading] = Field(min_length=1, max_length=10_000)


class Receipt(BaseModel):
    success: bool
    insertedCount: int  # noqa: N815
    readingIds: list[str]  # noqa: N815
    duplicateCount: int  # noqa: N815


def open_session():
    with sessions() as session:
        yield session


Base.metadata.create_all(engine)


@app.post("/api/ingest/readings")
def ingest(
    body: Body, session: Annotated[Session, Depends(open_session)], x_api_key: Annotated[str, Header()]
) -> Receipt:
    if not x_api_key:
        raise HTTPException(401)
    ids, duplicates = [], 0
    for item in body.readings:
        key = f"org-0/{item.unitId}/{item.deviceId}/{item.recordedAt.isoformat()}"
        ids.append(str(uuid.uuid5(uuid.NAMESPACE_URL, key)))
    known = set(session.scalars(select(Row.id).where(Row.id.in_(ids))))
    for item, reading_id in zip(body.readings, ids, strict=True):
        if reading_id in known:
            duplicates += 1
            continue
        row = Row(
            id=reading_id,
            organization_id="org-0",
            unit_id=item.unitId,
            device_id=item.deviceId,
            recorded_at=item.recordedAt,
            temperature=item.temperature,
            humidity=item.humidity,
            battery=item.battery,
            signal_strength=item.signalStrength,
        )
        session.add(row)
    session.commit()
    return Receipt(success=True, insertedCount=len(ids) - duplicates, readingIds=ids, duplicateCount=duplicates)
